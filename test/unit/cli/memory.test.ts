/** How much memory the program takes for layers that are much larger than that. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compileInto } from '../../support/compiled.ts'
import { digestOf } from '../../support/image-archive.ts'
import { runs } from '../../support/runs.ts'
import { serve } from '../../support/serve.ts'
import { header } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const layers = 8
const mostBytes = 250_000_000

let program = ''

beforeAll(() => {
  program = mkdtempSync(join(tmpdir(), 'composefs-memory-'))
  compileInto(program)
  // What getrusage tells begins with the memory of the parent.
  const report = "console.error('peak', /VmHWM:\\s*([0-9]+)/.exec(require('fs').readFileSync('/proc/self/status'))[1])"
  const once = `if (require('worker_threads').isMainThread) process.once('exit', () => ${report})`
  writeFileSync(join(program, 'report.cjs'), once)
})

afterAll(() => rmSync(program, { recursive: true, force: true }))

/** Pieces of a tar and of its gzip members; all files have the same contents, so that hardly anything is written. */
function layer(number: number, files: number, bodySize: number): { plain: Buffer; blob: Buffer }[] {
  const padded = Math.ceil(bodySize / 512) * 512
  const body = Buffer.alloc(padded)
  Buffer.alloc(bodySize, 'contents of all files ').copy(body)
  const piece = (plain: Buffer) => ({ plain, blob: Buffer.from(gzipSync(plain, { level: 1 })) })
  const contents = piece(body)
  const pieces = [piece(header({ name: 'usr/', type: '5', mode: 0o755 }))]
  for (let i = 0; i < files; i++) {
    pieces.push(piece(header({ name: `usr/${number}-${i}`, size: bodySize, mtime: i })), contents)
  }
  return [...pieces, piece(Buffer.alloc(1024))]
}

function digestOfAll(pieces: readonly Buffer[]): string {
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return `sha256:${hash.digest('hex')}`
}

test.each([
  { files: runs(100), bodySize: 1_200_000 },
  { files: runs(3_500), bodySize: 2_000 },
])(
  'a pull of $files files of $bodySize bytes in each layer takes little',
  async ({ files, bodySize }) => {
    const all = Array.from({ length: layers }, (_, i) => layer(i, files, bodySize))
    const blobs = new Map(all.map((pieces) => [digestOfAll(pieces.map(({ blob }) => blob)), pieces]))
    const config = Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: all.map((pieces) => digestOfAll(pieces.map(({ plain }) => plain))) },
      }),
    )
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: {
          mediaType: 'application/vnd.oci.image.config.v1+json',
          digest: digestOf(config),
          size: config.length,
        },
        layers: [...blobs].map(([digest, pieces]) => ({
          mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
          digest,
          size: pieces.reduce((sum, { blob }) => sum + blob.length, 0),
        })),
      }),
    )
    const server = await serve((request, response) => {
      const name = request.url!.split('/').at(-1)!
      const pieces = blobs.get(name)
      if (pieces !== undefined) Readable.from(pieces.map(({ blob }) => blob)).pipe(response)
      else if (name === 'latest') response.end(manifest)
      else if (name === digestOf(config)) response.end(config)
      else response.writeHead(404).end()
    })
    writeFileSync(join(program, 'none.conf'), '')
    const child = spawn(
      process.execPath,
      [
        ...['--require', join(program, 'report.cjs'), join(program, 'src/cli/main.js'), '--insecure'],
        ...['--repo', join(temporaryDirectory(), 'repository'), 'oci', 'pull', '--parallel', '4'],
        `docker://${server.host}/a`,
      ],
      { env: { ...process.env, CONTAINERS_REGISTRIES_CONF: join(program, 'none.conf'), HOME: program } },
    )
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
    expect(code, stderr).toBe(0)
    expect(stdout).toContain('verity')
    const peak = Number(/^peak ([0-9]+)$/m.exec(stderr)?.[1]) * 1024
    console.log(
      `peak memory of a pull of ${layers} layers of ${files} files of ${bodySize} bytes: ${Math.round(peak / 1e6)} MB`,
    )
    expect(peak).toBeGreaterThan(0)
    expect(peak).toBeLessThan(mostBytes)
  },
  300_000,
)
