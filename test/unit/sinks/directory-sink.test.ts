import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { describe, expect, test, vi } from 'vitest'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { native } from '../../../src/native/libc.ts'
import { getXattr } from '../../../src/native/xattr.ts'
import { ObjectDirectory } from '../../../src/repository/index.ts'
import { checkoutTree, DirectorySink } from '../../../src/sinks/index.ts'
import { bytesOf, type Directory, fromLatin1, Leaf, type WalkItem, Xattrs } from '../../../src/tree/index.ts'
import { ownStat, places, treeWith } from '../../support/checkout-tree.ts'
import { tree } from '../../support/files.ts'
import { smallFileSystem } from '../../support/small-file-system.ts'

const inline = (text: string) => ({ type: 'inline', bytes: Buffer.from(text) }) as const
const withoutKoffi = native() === undefined
if (withoutKoffi) console.warn('skipped: koffi does not load here')

/** Writes items one by one, so that things can happen in between. */
function slowly(sink: DirectorySink): (item: WalkItem) => Promise<Error | null | undefined> {
  sink.on('error', () => {})
  return (item) => new Promise((resolve) => sink.write(item, resolve))
}

describe.skipIf(withoutKoffi)('a tree on disk', () => {
  test('has every kind of inode, with modes and times to the nanosecond', async () => {
    const { objects, target } = places()
    const large = Buffer.alloc(3_000_000, 'large')
    const id = objects.put(large)
    const leaf = new Leaf(
      { ...ownStat, mode: 0o4755, xattrs: Xattrs.of([[bytesOf('user.a'), Buffer.from('1\0')]]) },
      inline('x'),
    )
    const files = treeWith({
      '/dir/deep/setuid': leaf,
      '/dir/again': leaf,
      '/zz': leaf,
      '/large': { type: 'external', size: large.length, id },
      '/sparse': { type: 'external', size: 10_000_000, id: undefined },
      '/empty': inline(''),
      '/link': { type: 'symlink', target: bytesOf('/does/not/exist') },
      '/fifo': { type: 'fifo' },
      '/socket': { type: 'socket' },
    })
    files.root.entries.set(
      fromLatin1('\xff\n'),
      new Leaf({ ...ownStat, mtime: -5 }, { type: 'symlink', target: fromLatin1('\xfe') }),
    )
    files.get('/dir')!.stat = { ...ownStat, mode: 0o2511, mtime: 5 }
    files.root.stat = { ...ownStat, mode: 0o1700 }
    files.get('/link')!.stat = { ...ownStat, mode: 0o777 }
    files.root.entries.get(fromLatin1('\xff\n'))!.stat = { ...ownStat, mode: 0o777, mtime: -5 }

    const result = await checkoutTree(files, objects, target)
    expect(result).toMatchObject({ inodes: 11, links: 2, bytes: large.length + 1, notRestored: [] })
    const stat = (name: string) => lstatSync(join(target, name), { bigint: true })
    const nanoseconds = 1_600_000_000_123_456_789n
    expect(stat('dir/deep/setuid')).toMatchObject({ mode: 0o104755n, nlink: 3n, size: 1n, mtimeNs: nanoseconds })
    expect(stat('zz').ino).toBe(stat('dir/again').ino)
    expect(stat('dir')).toMatchObject({ mode: 0o42511n, mtimeNs: 5_123_456_789n })
    expect(stat('')).toMatchObject({ mode: 0o41700n, mtimeNs: nanoseconds })
    expect(stat('link')).toMatchObject({ mode: 0o120777n, mtimeNs: nanoseconds })
    expect(stat('fifo').isFIFO() && stat('socket').isSocket()).toBe(true)
    expect(stat('fifo')).toMatchObject({ mode: 0o010644n, mtimeNs: nanoseconds })
    expect(stat('sparse')).toMatchObject({ size: 10_000_000n, blocks: 0n })
    expect(readFileSync(join(target, 'large')).equals(large)).toBe(true)
    expect(readlinkSync(join(target, 'link'))).toBe('/does/not/exist')
    const odd = Buffer.from(`${target}/\xff\n`, 'latin1')
    expect(readlinkSync(odd, 'buffer')).toEqual(Buffer.from([0xfe]))
    expect(lstatSync(odd, { bigint: true }).mtimeNs).toBe(-4_876_543_211n)
  })

  test('has xattrs, names of any bytes included', async () => {
    const { target } = places()
    const names = [bytesOf('user.a'), fromLatin1('user.\xff'), bytesOf('user.ä')]
    const xattrs = Xattrs.of(names.map((name) => [name, Buffer.from([0, 255])]))
    await checkoutTree(
      treeWith({ '/file': new Leaf({ ...ownStat, mode: 0o444, xattrs }, inline('')) }),
      undefined,
      target,
    )
    for (const name of names) expect(getXattr(join(target, 'file'), name)).toEqual(Buffer.from([0, 255]))
  })

  test('lists what cannot be restored', async () => {
    const { target } = places()
    const files = treeWith({
      '/link': { type: 'symlink', target: bytesOf('x') },
      '/odd': new Leaf(
        { ...ownStat, mtime: 2 ** 60, xattrs: Xattrs.of([[bytesOf('no.namespace'), Buffer.alloc(0)]]) },
        inline(''),
      ),
      '/second': new Leaf({ ...ownStat, mtimeNsec: 2 ** 30 - 1 }, inline('')),
    })
    const { notRestored } = await checkoutTree(files, undefined, target)
    expect(notRestored).toEqual([
      { path: '/link', what: 'mode', wanted: '644', actual: '777', reason: 'symlinks have no mode of their own' },
      { path: '/odd', what: 'xattr', wanted: 'no.namespace', reason: expect.stringMatching(/^E?O?[A-Z]+$/) },
      { path: '/odd', what: 'mtime', wanted: '1152921504606846976.123456789', actual: expect.any(String) },
      // Values that utimensat takes for "now" and "as it is" among them.
      { path: '/second', what: 'mtime', wanted: '1600000001.073741823', actual: '1600000000.999999999' },
    ])
  })

  test('leaves no descriptors open, whatever happens', async () => {
    const open = (): number => readdirSync('/proc/self/fd').length
    const before = open()
    const { target, objects } = places()
    await checkoutTree(treeWith({ '/a/b/c': inline('x') }), undefined, target)
    const missing = { type: 'external', size: 70, id: fsverityDigest('sha256', Buffer.alloc(70)) } as const
    await expect(checkoutTree(treeWith({ '/a/b/c': missing }), objects, `${target}2`)).rejects.toThrow()
    expect(open()).toBe(before)
  })
})

describe('contents', () => {
  const bytes = Buffer.alloc(2_000_000, 'ab')

  test.each([100, 2_000_000])('%d damaged bytes get no name', async (size) => {
    const { objects, target } = places()
    const id = objects.put(bytes.subarray(0, size))
    writeFileSync(objects.pathOf(id), Buffer.alloc(size, 'x'))
    const files = treeWith({ '/dir/file': { type: 'external', size, id } })
    await expect(checkoutTree(files, objects, target)).rejects.toMatchObject({
      code: 'ERR_REPOSITORY_CORRUPT',
      path: `${target}/dir/file`,
      message: expect.stringContaining(objects.pathOf(id)),
    })
    expect(tree(target)).toEqual({ 'dir/': null })
    expect(statSync(join(target, 'dir')).mode & 0o777).toBe(0o700)
    await checkoutTree(files, objects, target, { force: true, verify: false })
    expect(readFileSync(join(target, 'dir/file')).equals(Buffer.alloc(size, 'x'))).toBe(true)
  })

  test('that are missing, of another size or hash, or no object', async () => {
    const { objects, target } = places()
    const id = objects.put(bytes)
    const size = bytes.length
    const refused = (content: object) =>
      expect(
        checkoutTree(treeWith({ '/file': { type: 'external', size, id, ...content } as never }), objects, target, {
          force: true,
        }),
      ).rejects
    await refused({ id: fsverityDigest('sha256', Buffer.from('other')) }).toMatchObject({
      code: 'ERR_NOT_FOUND',
      path: `${target}/file`,
    })
    await refused({ id: fsverityDigest('sha512', bytes) }).toMatchObject({ code: 'ERR_ALGORITHM_MISMATCH' })
    await refused({ size: 5 }).toMatchObject({ code: 'ERR_SIZE_MISMATCH', expected: 5, actual: size })
    await refused({ id: undefined, path: '../../etc/passwd' }).toMatchObject({ code: 'ERR_PATH_INVALID' })
    await expect(
      checkoutTree(treeWith({ '/file': { type: 'external', size, id } }), undefined, target, { force: true }),
    ).rejects.toMatchObject({ code: 'ERR_ARGUMENT', hint: expect.stringContaining('--basedir') })
    expect(tree(target)).toEqual({})
    // A path that is an object's own will do.
    await checkoutTree(
      treeWith({ '/file': { type: 'external', size, id: undefined, path: fromLatin1(id.path) } }),
      objects,
      target,
    )
    expect(readFileSync(join(target, 'file')).equals(bytes)).toBe(true)
  })

  test('that do not fit leave nothing behind', async (context) => {
    const small = smallFileSystem()
    if (small === undefined) return context.skip()
    const { objects } = places()
    const id = objects.put(bytes)
    const files = treeWith({ '/a': inline('first'), '/b': { type: 'external', size: bytes.length, id } })
    await expect(checkoutTree(files, objects, join(small.path, 'target'))).rejects.toMatchObject({
      code: 'ERR_NO_SPACE',
      path: join(small.path, 'target/b'),
    })
    expect(tree(join(small.path, 'target'))).toEqual({ a: 5 })
  })

  test('an abort ends it', async () => {
    const { objects, target } = places()
    const id = objects.put(Buffer.alloc(20_000_000))
    const files = treeWith({ '/file': { type: 'external', size: 20_000_000, id } })
    const reason = new Error('enough')
    await expect(checkoutTree(files, objects, target, { signal: AbortSignal.abort(reason) })).rejects.toThrow()
    const abort = new AbortController()
    // In the middle of the contents.
    class Aborting extends ObjectDirectory {
      override open(...args: Parameters<ObjectDirectory['open']>): Readable {
        return super.open(...args).once('data', () => abort.abort(reason))
      }
    }
    const aborting = new Aborting(objects.path, objects.algorithm)
    const work = checkoutTree(files, aborting, target, { force: true, reflink: false, signal: abort.signal })
    await expect(work).rejects.toMatchObject({ name: 'AbortError' })
    expect(tree(target)).toEqual({})
  })
})

describe('the directory', () => {
  const files = treeWith({ '/usr/file': inline('new'), '/link': { type: 'symlink', target: bytesOf('t') } })

  test('is refused unless it is new or empty', async () => {
    const { target, outside } = places()
    const refused = (path: string) => expect(checkoutTree(files, undefined, path)).rejects
    await refused(join(target, 'x')).toMatchObject({ code: 'ERR_NOT_FOUND', path: join(target, 'x') })
    mkdirSync(target)
    chmodAndFill(target)
    await refused(target).toMatchObject({ code: 'ERR_ENTRY_EXISTS', hint: expect.stringContaining('--force') })
    expect(statSync(target).mode & 0o777).toBe(0o751)
    await refused(join(target, 'kept')).toMatchObject({ code: 'ERR_ENTRY_EXISTS' })
    symlinkSync(outside, join(target, 'symlink'))
    await refused(join(target, 'symlink')).toMatchObject({ code: 'ERR_ENTRY_EXISTS' })
    expect(readdirSync(outside)).toEqual([])
  })

  test('with force keeps what the tree does not name, and never follows a symlink', async () => {
    const { target, outside } = places()
    mkdirSync(target)
    chmodAndFill(target)
    symlinkSync(outside, join(target, 'usr'))
    symlinkSync(outside, join(target, 'link'))
    await checkoutTree(files, undefined, target, { force: true })
    expect(tree(target)).toEqual({ kept: 4, 'usr/': null, 'usr/file': 3, link: '-> t' })
    expect(readdirSync(outside)).toEqual([])
    // Once more, over itself; then a symlink to a file in the place of a file.
    unlinkSync(join(target, 'usr/file'))
    writeFileSync(join(outside, 'precious'), 'precious')
    symlinkSync(join(outside, 'precious'), join(target, 'usr/file'))
    await checkoutTree(files, undefined, target, { force: true })
    expect(lstatSync(join(target, 'usr/file')).isFile()).toBe(true)
    expect(readFileSync(join(outside, 'precious'), 'utf8')).toBe('precious')
    // No directory is removed for a file.
    unlinkSync(join(target, 'usr/file'))
    mkdirSync(join(target, 'usr/file'))
    await expect(checkoutTree(files, undefined, target, { force: true })).rejects.toMatchObject({
      code: 'ERR_ENTRY_EXISTS',
      path: join(target, 'usr/file'),
    })
  })

  test('with force over itself, hardlinks too: nothing else is left', async () => {
    const { target } = places()
    const leaf = new Leaf(ownStat, inline('x'))
    const linked = treeWith({ '/a': leaf, '/b': leaf, '/link': { type: 'symlink', target: bytesOf('t') } })
    for (const _ of [1, 2]) await checkoutTree(linked, undefined, target, { force: true })
    expect(tree(target)).toEqual({ a: 1, b: 1, link: '-> t' })
    expect(lstatSync(join(target, 'a')).ino).toBe(lstatSync(join(target, 'b')).ino)
  })

  test.skipIf(withoutKoffi)('with force nothing goes for what then cannot be made', async () => {
    const { target } = places()
    mkdirSync(target)
    writeFileSync(join(target, 'device'), 'precious')
    const { EEXIST, EPERM } = constants.errno
    const mknodat = vi.spyOn(native()!, 'mknodat').mockReturnValueOnce(EEXIST).mockReturnValueOnce(EPERM)
    const device = treeWith({ '/device': { type: 'character-device', rdev: 0x103 } })
    const { notRestored } = await checkoutTree(device, undefined, target, { force: true })
    mknodat.mockRestore()
    expect(notRestored).toMatchObject([{ what: 'inode', reason: 'EPERM' }])
    expect(readFileSync(join(target, 'device'), 'utf8')).toBe('precious')
    expect(readdirSync(target)).toEqual(['device'])
  })

  test.each(['..', '.', '', 'a/b', '../x', 'a\0b'])('a name %j is refused', async (name) => {
    const { target } = places()
    const bad = treeWith({ '/dir/file': inline('') })
    ;(bad.get('/dir') as Directory).entries.set(fromLatin1(name), new Leaf(ownStat, inline('')))
    await expect(checkoutTree(bad, undefined, target)).rejects.toMatchObject({
      code: 'ERR_PATH_INVALID',
      path: join(target, 'dir'),
    })
    expect(tree(target)).toEqual({ 'dir/': null })
  })

  function chmodAndFill(path: string): void {
    writeFileSync(join(path, 'kept'), 'kept')
    chmodSync(path, 0o751)
  }
})

describe('symlinks planted meanwhile', () => {
  const leaf = new Leaf(ownStat, inline('new'))
  const files = treeWith({ '/dir/file': leaf, '/dir/sub/x': inline(''), '/second': leaf })
  const items = [...files.walk()]
  const pathOf = (path: string): WalkItem => items.find((item) => item.path === path)!

  test('in the place of a directory or file', async () => {
    const { target, outside } = places()
    for (const [index, name] of ['dir', 'dir/file'].entries()) {
      const write = slowly(new DirectorySink(target + index, undefined))
      await write(pathOf('/'))
      if (index === 1) await write(pathOf('/dir'))
      symlinkSync(outside, join(target + index, name))
      expect(await write(pathOf(`/${name}`))).toMatchObject({
        code: 'ERR_ENTRY_EXISTS',
        path: join(target + index, name),
      })
    }
    expect(readdirSync(outside)).toEqual([])
  })

  test('in the place of a directory that is open: what follows stays where it was', async () => {
    const { target, outside } = places()
    const write = slowly(new DirectorySink(target, undefined))
    for (const path of ['/', '/dir', '/dir/file']) await write(pathOf(path))
    renameSync(join(target, 'dir'), join(target, 'moved'))
    symlinkSync(outside, join(target, 'dir'))
    for (const path of ['/dir/sub', '/dir/sub/x']) expect(await write(pathOf(path))).toBeFalsy()
    expect(readdirSync(outside)).toEqual([])
    expect(tree(join(target, 'moved'))).toEqual({ file: 3, 'sub/': null, 'sub/x': 0 })
    // The first name of the hardlink is below a symlink now.
    expect(await write(pathOf('/second'))).toMatchObject({ code: 'ERR_ENTRY_EXISTS', path: join(target, 'second') })
  })

  test('in the place of what a hardlink is to: it is not kept', async () => {
    const { target, outside } = places()
    writeFileSync(join(outside, 'secret'), 'secret')
    const write = slowly(new DirectorySink(target, undefined))
    for (const path of ['/', '/dir', '/dir/file', '/dir/sub', '/dir/sub/x']) await write(pathOf(path))
    unlinkSync(join(target, 'dir/file'))
    symlinkSync(join(outside, 'secret'), join(target, 'dir/file'))
    expect(await write(pathOf('/second'))).toMatchObject({
      code: 'ERR_IO',
      message: expect.stringContaining('took the place'),
    })
    expect(lstatSync(join(target, 'second'), { throwIfNoEntry: false })).toBeUndefined()
    expect(statSync(join(outside, 'secret')).nlink).toBe(1)
  })
})

test('items in another order than that of a walk', async () => {
  const { target } = places()
  const [root, directory, file] = [...treeWith({ '/dir/file': inline('') }).walk()]
  const wrong = async (...items: (WalkItem | undefined)[]) => {
    const write = slowly(new DirectorySink(target, undefined, { force: true }))
    let failure: Error | null | undefined
    for (const item of items) failure ??= await write(item!)
    return failure
  }
  expect(await wrong(directory)).toMatchObject({ code: 'ERR_STREAM_ORDER' })
  expect(await wrong(root, file)).toMatchObject({ code: 'ERR_STREAM_ORDER' })
})
