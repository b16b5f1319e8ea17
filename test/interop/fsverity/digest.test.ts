import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { requireTools } from '../../support/tools.ts'

const { skip } = requireTools('fsverity')

describe.skipIf(skip)('the fsverity tool', () => {
  test.each(['sha256', 'sha512'] as const)('computes the same digests (%s)', (algorithm) => {
    const directory = temporaryDirectory()
    const sizes = [0, 1, 65, 4096, 4097, 64 * 4096, 64 * 4096 + 1, 128 * 4096, 129 * 4096 + 3, 5_000_000]
    const files = sizes.map((size) => {
      const path = `${directory}/${size}`
      const bytes = Buffer.alloc(size, `${size} bytes of text, `)
      writeFileSync(path, bytes)
      return { path, hex: fsverityDigest(algorithm, bytes).hex }
    })
    const output = execFileSync(
      'fsverity',
      ['digest', '--compact', `--hash-alg=${algorithm}`, ...files.map(({ path }) => path)],
      { encoding: 'utf8' },
    )
    expect(
      output
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[0]),
    ).toEqual(files.map(({ hex }) => hex))
  })
})
