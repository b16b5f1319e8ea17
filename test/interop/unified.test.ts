/** The single build of examples/unified: the id that is computed inside it is that of its layers. */
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../support/cfsctl.ts'
import { makeMemoryDirectory } from '../support/memory-directory.ts'
import { requireTools } from '../support/tools.ts'

const project = fileURLToPath(new URL('../../', import.meta.url))
const compiled = existsSync(join(project, 'dist/cli/main.js'))
if (!compiled) console.warn('skipped: the package is not compiled (npm run build)')
const root = process.getuid?.() === 0
if (!root) console.warn('skipped: building containers takes root here')
const skip = !compiled || !root || requireTools('buildah', 'debootstrap', 'tar').skip

describe.skipIf(skip)('a container build without layers at hand', () => {
  let directory = ''
  let base = ''
  beforeAll(async () => {
    directory = makeMemoryDirectory(3 * 2 ** 30)
    const cache = process.env['REAL_IMAGE_CACHE'] ?? join(tmpdir(), 'composefs-real-image')
    mkdirSync(cache, { recursive: true })
    base = join(cache, 'minbase.tar')
    if (existsSync(base)) return
    // In GNU format times are whole seconds, also where the build cannot change them: in /dev and /proc.
    const script = `. /etc/os-release; debootstrap --variant=minbase "$VERSION_CODENAME" "$1" >&2
      tar --format=gnu --exclude='./dev/*' -C "$1" -cf "$2.part" . && mv "$2.part" "$2"`
    await run('bash', ['-ec', script, 'bash', join(directory, 'base'), base])
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  test('gives the kernel argument that the layers of its base give, and those of the image itself', async () => {
    const said = await run(join(project, 'examples/unified/run.sh'), [base, join(directory, 'build')])
    const [inside, ofBase, ofFinal, verdict] = said.toString().split('\n')
    const [, id] = /^inside the build, .* (composefs\.digest=v1-sha512-12:[0-9a-f]{128})$/.exec(inside!)!
    expect(ofBase).toBe(`outside, base from its layers:         ${id}`)
    expect(ofFinal).toBe(`outside, final image from its layers:  ${id}`)
    expect(verdict).toBe('same')
  })
})
