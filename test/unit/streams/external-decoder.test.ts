import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { Decompressor } from '../../../src/streams/decompressor.ts'
import { ExternalDecoder } from '../../../src/streams/external-decoder.ts'
import { chunkings, cut } from '../../support/chunks.ts'
import { decode, decompress, mixture } from '../../support/compressed.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { requireTools } from '../../support/tools.ts'

const plain = mixture(1, 300_000)

function runs(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe.each(['xz', 'bzip2'] as const)('%s', (program) => {
  const run = (chunks: Iterable<Buffer>) => decode((output) => new ExternalDecoder(program, output), chunks)
  const { skip } = requireTools(program)
  const compress = (bytes: Buffer, ...options: string[]) =>
    spawnSync(program, ['-c', ...options], { input: bytes }).stdout

  test.skipIf(skip)('decodes, however the input is cut', async () => {
    const bytes = compress(plain)
    for (const sizes of [[bytes.length], [4096], [1, 7, 5000]]) {
      const { output, error } = await run(cut(bytes, sizes))
      expect(error).toBeUndefined()
      expect(output.equals(plain)).toBe(true)
    }
    for (const chunks of chunkings(compress(Buffer.from('small')))) {
      expect((await decompress(chunks)).output.toString()).toBe('small')
    }
  })

  test.skipIf(skip)('decodes several streams', async () => {
    const { output } = await run([compress(Buffer.from('one ')), compress(Buffer.from('two'))])
    expect(output.toString()).toBe('one two')
  })

  test.skipIf(skip)('passes over zeros behind the data, but over nothing else', async () => {
    // The mark of the end of bzip2 begins at any bit: contents of many lengths try them.
    for (let size = 0; size < 12; size++) {
      const contents = plain.subarray(0, size)
      const bytes = compress(contents)
      const zeros = Buffer.alloc(10_240 - (bytes.length % 10_240))
      const { output, error } = await decompress([bytes, zeros])
      expect(error).toBeUndefined()
      expect(output.equals(contents)).toBe(true)
    }
    const bytes = compress(plain)
    const garbage = Buffer.alloc(5000, 'garbage')
    for (const more of [garbage, Buffer.concat([Buffer.alloc(4), garbage, Buffer.alloc(4)])]) {
      expect((await decompress([bytes, more])).error).toMatchObject({ code: 'ERR_COMPRESSION_DATA' })
    }
  })

  test.skipIf(skip)('refuses cut input', async () => {
    const bytes = compress(plain)
    for (const size of [20, 1000, bytes.length - 1]) {
      const { error } = await run([bytes.subarray(0, size)])
      expect(error).toMatchObject({ code: 'ERR_COMPRESSION_TRUNCATED' })
    }
  })

  test.skipIf(skip)('refuses damaged input with what the program says', async () => {
    const bytes = compress(plain)
    bytes.fill(0x55, 5000, 5100)
    const { error } = await run(cut(bytes, [1000]))
    expect(error).toMatchObject({ code: 'ERR_COMPRESSION_DATA' })
    expect(String(error)).toContain(`${program}: `)
  })

  test.skipIf(skip)('refuses what follows the data', async () => {
    const { error } = await run([compress(plain), Buffer.from('this is something else altogether')])
    expect(error).toMatchObject({ code: 'ERR_COMPRESSION_DATA' })
  })

  test('names the program if it is not installed', async () => {
    vi.stubEnv('PATH', temporaryDirectory())
    onTestFinished(() => void vi.unstubAllEnvs())
    const magic = Buffer.from(program === 'xz' ? 'fd377a585a00' : '425a6839314159265359', 'hex')
    for (const chunks of [[magic], cut(Buffer.concat([magic, plain]), [65_536])]) {
      const { error } = await decompress(chunks)
      expect(error).toMatchObject({ code: 'ERR_COMPRESSION_UNSUPPORTED' })
      expect(String(error)).toContain(`install the program ${program}`)
    }
  })

  test('kills the program when it is destroyed, and fails when it is killed', async () => {
    const directory = temporaryDirectory()
    const note = join(directory, 'pid')
    const { PATH } = process.env
    // Ends neither by itself nor because its input ends.
    writeFileSync(join(directory, program), `#!/bin/sh\necho $$ > ${note}.new\nmv ${note}.new ${note}\nexec sleep 60\n`)
    chmodSync(join(directory, program), 0o755)
    vi.stubEnv('PATH', `${directory}:${PATH}`)
    onTestFinished(() => void vi.unstubAllEnvs())
    const decompressor = new Decompressor({ compression: program })
    decompressor.write(Buffer.from('some bytes'))
    while (!existsSync(note)) await sleep(5)
    const pid = Number(readFileSync(note, 'utf8'))
    expect(runs(pid)).toBe(true)
    decompressor.destroy()
    for (let round = 0; runs(pid) && round < 4000; round++) await sleep(5)
    expect(runs(pid)).toBe(false)
    writeFileSync(join(directory, program), '#!/bin/sh\nkill -9 $$\n')
    const { error } = await run(cut(plain, [65_536]))
    expect(error).toMatchObject({ code: 'ERR_COMPRESSION_DATA' })
    expect(String(error)).toContain('SIGKILL')
  })
})

test.skipIf(requireTools('xz').skip)('refuses a dictionary above the limit', async () => {
  const bytes = spawnSync('xz', ['-c', '--lzma2=dict=64MiB'], { input: plain }).stdout
  expect((await decompress([bytes], { maxWindow: 2 ** 26 })).output.equals(plain)).toBe(true)
  expect((await decompress([bytes], { maxWindow: 2 ** 20 })).error).toMatchObject({ code: 'ERR_LIMIT' })
})
