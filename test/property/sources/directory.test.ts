/** Random directories on disk: what a scan must not depend on. COMPOSEFS_SEED chooses others than the usual ones. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import { native } from '../../../src/native/libc.ts'
import { DigestStore } from '../../../src/repository/index.ts'
import { TreeSink } from '../../../src/sinks/index.ts'
import { directoryTree, type ScanOptions, scanDirectory } from '../../../src/sources/index.ts'
import { ContentSplitter, dumpfileText, ObjectWriter, pipeline, readDumpfile } from '../../../src/streams/index.ts'
import { freshDirectory, isRoot, openDescriptors } from '../../support/disk.ts'
import { writeRandomDirectory } from '../../support/random-directory.ts'
import { runs } from '../../support/runs.ts'
import { scansDirectories } from '../../support/xattrs.ts'

scansDirectories()

const { COMPOSEFS_SEED } = process.env
const firstSeed = Number(COMPOSEFS_SEED ?? 0)
const count = runs(40)

afterEach(() => {
  vi.unstubAllEnvs()
  vi.resetModules()
})

describe.skipIf(!isRoot || native() === undefined)('random directories', () => {
  test('the way through a scan does not matter', async () => {
    const before = openDescriptors()
    let inodes = 0
    for (let seed = firstSeed; seed < firstSeed + count; seed++) {
      const root = freshDirectory()
      writeRandomDirectory(root, seed)
      const text = async (options: ScanOptions) => {
        const objects = new ObjectWriter(new DigestStore('sha256'))
        const tree = new TreeSink({ whiteouts: false })
        const source = scanDirectory(root, options)
        return dumpfileText(await pipeline(source, new ContentSplitter(), objects, tree)).toString('latin1')
      }
      const expected = await text({})
      inodes += expected.split('\n').length - 1
      for (const openDirectories of [1, 2, 5]) expect(await text({ openDirectories }), `seed ${seed}`).toBe(expected)
      const direct = await directoryTree(root, new DigestStore('sha256'), { profile: 'raw' })
      expect(dumpfileText(direct).toString('latin1'), `seed ${seed}`).toBe(expected)
      expect(dumpfileText(readDumpfile(Buffer.from(expected, 'latin1'))).toString('latin1')).toBe(expected)
    }
    expect(openDescriptors()).toBe(before)
    console.info(`${count} random directories, ${inodes} names`)
    expect(inodes).toBeGreaterThan(count * 20)
  })

  test('without koffi it is the same, as long as names of attributes are UTF-8', async () => {
    const roots = Array.from({ length: 40 }, (_, i) => {
      const root = freshDirectory()
      writeRandomDirectory(root, firstSeed + i, { anyBytes: false })
      return root
    })
    const raw = { profile: 'raw' } as const
    const texts: string[] = []
    for (const root of roots)
      texts.push(dumpfileText(await directoryTree(root, new DigestStore('sha256'), raw)).toString('latin1'))
    vi.stubEnv('COMPOSEFS_NATIVE', '0')
    vi.resetModules()
    const without = await import('../../../src/sources/index.ts')
    for (const [i, root] of roots.entries()) {
      const tree = await without.directoryTree(root, new DigestStore('sha256'), raw)
      expect(dumpfileText(tree).toString('latin1'), `seed ${firstSeed + i}`).toBe(texts[i])
    }
  })
})
