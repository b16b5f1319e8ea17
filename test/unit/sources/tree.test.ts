import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bytesOf } from '../../../src/bytes.ts'
import { setXattr } from '../../../src/native/xattr.ts'
import { DigestStore } from '../../../src/repository/index.ts'
import { TreeSink } from '../../../src/sinks/index.ts'
import { type DirectoryProfile, directoryProfiles, directoryTree, scanDirectory } from '../../../src/sources/index.ts'
import { ContentSplitter, dumpfileText, type ObjectStore, ObjectWriter, pipeline } from '../../../src/streams/index.ts'
import type { FileSystem } from '../../../src/tree/index.ts'
import { compileInto } from '../../support/compiled.ts'
import { freshDirectory, openDescriptors } from '../../support/disk.ts'
import { KeepingStore } from '../../support/keeping-store.ts'
import { MemoryStore } from '../../support/memory-store.ts'
import { scansDirectories } from '../../support/xattrs.ts'

scansDirectories()

const store = new DigestStore('sha256')
const text = (fileSystem: FileSystem) => dumpfileText(fileSystem).toString('latin1')

/** A small root file system. Times: the top 5, usr 3, usr/file 4.5, run and run/pid 2, boot and sysroot 1. */
function rootDirectory(): string {
  const root = freshDirectory()
  for (const name of ['usr', 'run', 'boot', 'sysroot', 'boot/loader']) mkdirSync(join(root, name))
  writeFileSync(join(root, 'usr/file'), 'contents')
  setXattr(join(root, 'usr/file'), bytesOf('user.a'), Buffer.from('1'))
  writeFileSync(join(root, 'run/pid'), '1')
  const times = { 'usr/file': 4.5, usr: 3, 'run/pid': 2, run: 2, 'boot/loader': 1, boot: 1, sysroot: 1, '.': 5 }
  for (const [name, time] of Object.entries(times)) utimesSync(join(root, name), 0, time)
  return root
}

/** Paths, times and attributes of the tree of a directory. */
async function outline(options: Parameters<typeof directoryTree>[2]): Promise<string[]> {
  const fileSystem = await directoryTree(rootDirectory(), store, options)
  return [...fileSystem.walk()].map(({ path, ...item }) => {
    const { mtime, mtimeNsec, xattrs } = item.kind === 'inode' ? item.inode.stat : item.leaf.stat
    return [path, Number(mtime) + mtimeNsec / 1e9, ...[...xattrs].map(([name]) => name)].join(' ')
  })
}

test('the directory itself may have any name', async () => {
  const parent = freshDirectory()
  for (const name of [Buffer.from('é€'), Buffer.from([0xff, 0x2d])]) {
    const path = Buffer.concat([Buffer.from(`${parent}/`), name])
    mkdirSync(path)
    writeFileSync(Buffer.concat([path, Buffer.from('/f')]), 'text')
    const wanted = text(await directoryTree(path, store, { profile: 'raw' }))
    expect(wanted).toMatch(/^\/f 4 /m)
    if (name[0] !== 0xff) expect(text(await directoryTree(`${parent}/é€`, store, { profile: 'raw' }))).toBe(wanted)
  }
})

describe('profiles', () => {
  test('container-root, which is the default', async () => {
    const expected = ['/ 3', '/boot 1', '/boot/loader 1', '/run 3', '/sysroot 1', '/usr 3', '/usr/file 4.5']
    expect(await outline({})).toEqual(expected)
    expect(await outline({ profile: 'container-root' })).toEqual(expected)
  })

  test('raw: everything as it is', async () => {
    const below = ['/boot 1', '/boot/loader 1', '/run 2', '/run/pid 2', '/sysroot 1', '/usr 3', '/usr/file 4.5 user.a']
    expect(await outline({ profile: 'raw' })).toEqual(['/ 5', ...below])
  })

  test('pr36: the newest time below for the root, whole seconds', async () => {
    const below = ['/boot 1', '/boot/loader 1', '/run 2', '/run/pid 2', '/sysroot 1', '/usr 3', '/usr/file 4 user.a']
    expect(await outline({ profile: 'pr36' })).toEqual(['/ 4', ...below])
  })

  test('options win over the profile, and bootable empties two directories', async () => {
    const options = { profile: 'pr36', root: 'keep', xattrs: 'allowlist-only', wholeSeconds: false } as const
    expect(await outline({ ...options, emptyRun: true, bootable: true })).toEqual([
      '/ 5',
      '/boot 3',
      '/run 3',
      '/sysroot 3',
      '/usr 3',
      '/usr/file 4.5',
    ])
  })

  test.each(Object.keys(directoryProfiles) as DirectoryProfile[])(
    '%s says what happens at mounts and to times',
    (name) => {
      expect(directoryProfiles[name]).toMatchObject({ oneFileSystem: 'refuse', wholeSeconds: name === 'pr36' })
    },
  )

  test('a root file system without what the rules need is refused', async () => {
    const root = freshDirectory()
    await expect(directoryTree(root, store)).rejects.toMatchObject({ code: 'ERR_USR_MISSING' })
    mkdirSync(join(root, 'usr'))
    await expect(directoryTree(root, store, { bootable: true })).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' })
  })
})

describe('contents', () => {
  let compiled: string
  let built: typeof import('../../../src/sources/index.ts')

  beforeAll(async () => {
    compiled = mkdtempSync(join(tmpdir(), 'composefs-test-'))
    compileInto(compiled)
    built = await import(join(compiled, 'src/sources/index.js'))
  })
  afterAll(() => rmSync(compiled, { recursive: true, force: true }))

  /** Enough files for all batches, some larger than a batch, with small and empty ones and directories between. */
  function manyFiles(): string {
    const root = freshDirectory()
    for (let i = 0; i < 80; i++) {
      const directory = join(root, `d${i % 7}`)
      if (i < 7) mkdirSync(directory)
      const size = [0, 10, 64, 65, 4096, 100_001, 300_000, 1024 * 1024 + 1][i % 8]!
      writeFileSync(join(directory, `f${i}`), Buffer.alloc(size, `file ${i} `))
    }
    return root
  }

  const piped = (root: string, objects: ObjectStore) =>
    pipeline(scanDirectory(root), new ContentSplitter(), new ObjectWriter(objects), new TreeSink({ whiteouts: false }))

  test('are those of the pipeline, hashed by this thread or by another, stored at once or later', async () => {
    const root = manyFiles()
    const memory = new MemoryStore()
    const expected = text(await piped(root, memory))
    const [here, there, slow] = [new MemoryStore(), new MemoryStore(), new MemoryStore({ delay: () => 1 })]
    expect(text(await directoryTree(root, here, { profile: 'raw' }))).toBe(expected)
    expect(text(await built.directoryTree(root, there, { profile: 'raw' }))).toBe(expected)
    expect(text(await built.directoryTree(root, slow, { profile: 'raw' }))).toBe(expected)
    for (const { objects } of [here, there, slow]) {
      expect(objects.size).toBe(memory.objects.size)
      for (const [id, bytes] of memory.objects) expect(objects.get(id)?.equals(bytes), id).toBe(true)
    }
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const ids = new DigestStore(algorithm)
      expect(text(await built.directoryTree(root, ids, { profile: 'raw' }))).toBe(text(await piped(root, ids)))
    }
  })

  test('are kept by a store that copies nothing, and never change', async () => {
    const root = manyFiles()
    const expected = text(await piped(root, new MemoryStore()))
    for (const options of [{}, { takesIds: true }, { late: true }]) {
      for (const make of [directoryTree, built.directoryTree]) {
        const keeping = new KeepingStore(options)
        expect(text(await make(root, keeping, { profile: 'raw' }))).toBe(expected)
        expect(keeping.kept.length).toBe(50)
        expect(keeping.changed).toBe(0)
      }
    }
  })

  test('more entries than a batch takes', async () => {
    const root = freshDirectory()
    for (let i = 0; i < 9000; i++) symlinkSync('target', join(root, `l${i}`))
    const fileSystem = await built.directoryTree(root, store, { profile: 'raw' })
    expect(fileSystem.root.entries.size).toBe(9000)
  })

  test.each(['sha256', 'slow'])('an error of the store ends it and leaves nothing open (%s)', async (kind) => {
    const root = manyFiles()
    let stored = 0
    const fail = () => (stored++ < 20 ? undefined : new Error('full'))
    const failing = new MemoryStore({ fail, ...(kind === 'slow' && { delay: () => 1 }) })
    const before = openDescriptors()
    await expect(directoryTree(root, failing, { profile: 'raw' })).rejects.toThrow('full')
    await expect(built.directoryTree(root, failing, { profile: 'raw' })).rejects.toThrow('full')
    expect(failing.sinks.created).toBe(failing.sinks.finished + failing.sinks.aborted)
    expect(openDescriptors()).toBeLessThanOrEqual(before)
  })

  test('a signal ends it', async () => {
    const root = manyFiles()
    const abort = new AbortController()
    const put = (bytes: Buffer) => {
      abort.abort()
      return store.put(bytes)
    }
    const watching: ObjectStore = { algorithm: 'sha256', put, create: (size) => store.create(size) }
    const options = { profile: 'raw', signal: abort.signal } as const
    await expect(directoryTree(root, watching, options)).rejects.toMatchObject({ name: 'AbortError' })
    await expect(directoryTree(root, store, options)).rejects.toMatchObject({ name: 'AbortError' })
  })
})
