import { describe, expect, test } from 'vitest'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { readDumpfile } from '../../../src/streams/dumpfile-reader.ts'
import {
  type CauseName,
  DifferenceTally,
  type DiffFacts,
  type Directory,
  diffTrees,
  emptyBootDirectories,
  explain,
  type FileSystem,
  filterXattrs,
  inodes,
  Leaf,
  transformForOci,
  Xattrs,
} from '../../../src/tree/index.ts'

const large = Buffer.alloc(100, 'x')
const ids = { sha256: fsverityDigest('sha256', large).hex, sha512: fsverityDigest('sha512', large).hex }
const object = (hash: keyof typeof ids) => `${ids[hash].slice(0, 2)}/${ids[hash].slice(2)} - ${ids[hash]}`

/** A small operating system. */
const text = (hash: keyof typeof ids = 'sha256') => `/ 0 40750 2 1 1 0 1700000009.5 - - -
/boot 0 40755 2 0 0 0 1700000001.1 - - -
/boot/kernel 100 100644 1 0 0 0 1700000001.1 ${object(hash)}
/run 0 40755 2 0 0 0 1700000002.2 - - - security.selinux=run
/run/pid 1 100644 1 0 0 0 1700000002.2 - 7 -
/sysroot 0 40755 2 0 0 0 1700000001.1 - - -
/usr 0 40755 2 0 0 0 1700000003.3 - - - user.a=1 security.selinux=usr
/usr/ping 100 100755 2 0 0 0 1700000004.4 ${object(hash)} security.capability=c
/usr/tool 0 @120000 - - - - 0.0 /usr/ping - -
/usr/share 0 40755 2 0 0 0 1700000005.0 - - - trusted.t=1
/usr/share/doc 0 40700 2 0 0 0 1700000006.6 - - -
`

const make = (hash?: keyof typeof ids): FileSystem => readDumpfile(Buffer.from(text(hash)))
const withStat = (tree: FileSystem, path: string, change: object): void => {
  const inode = tree.get(path)!
  inode.stat = { ...inode.stat, ...change }
}

function causesOf(
  change: (b: FileSystem) => void,
  facts: DiffFacts = {},
): { cause: CauseName; text: string; count: number }[] {
  const [a, b] = [make(), make()]
  change(b)
  return explain(diffTrees(a, b), { a: { tree: a, ...facts.a }, b: { tree: b, ...facts.b } })
}

describe('known causes', () => {
  test('implicit parents', () => {
    const implicit = { mode: 0o755, uid: 0, gid: 0, mtime: 0, mtimeNsec: 0, xattrs: Xattrs.empty }
    const causes = causesOf((b) => {
      withStat(b, '/usr/share', implicit)
      withStat(b, '/usr/share/doc', implicit)
    })
    expect(causes).toEqual([
      { cause: 'implicit-parents', count: 4, text: expect.stringMatching(/^implicit parents: .* in B$/) },
    ])
  })

  test('times below a second, cut by an image of version 2 or by somebody', () => {
    const cut = (b: FileSystem): void => {
      for (const inode of inodes(b)) inode.stat = { ...inode.stat, mtimeNsec: 0 }
    }
    expect(causesOf(cut)).toEqual([
      { cause: 'nanoseconds', count: 9, text: expect.stringContaining('B has whole seconds (a tar') },
    ])
    expect(causesOf(cut, { b: { version: 2 } })[0]?.text).toContain('version 2')
    // Whoever touched a file twice in a second had another reason.
    expect(causesOf((b) => withStat(b, '/usr/ping', { mtimeNsec: 9 }))).toEqual([])
  })

  test('all times 0', () => {
    const causes = causesOf((b) => {
      for (const inode of inodes(b)) inode.stat = { ...inode.stat, mtime: 0, mtimeNsec: 0 }
    })
    expect(causes).toEqual([{ cause: 'epoch', count: 10, text: 'times: all are 0 in B (mkcomposefs --use-epoch)' }])
  })

  test('the xattr filter', () => {
    expect(causesOf((b) => filterXattrs(b, (name) => !name.startsWith('user.')))).toEqual([
      { cause: 'xattr-filter', count: 1, text: 'the xattr filter: user.* attributes are missing in B (--xattrs)' },
    ])
    const causes = causesOf((b) => filterXattrs(b, (name) => name === 'security.capability'))
    expect(causes).toMatchObject([
      { cause: 'label', count: 2, text: 'SELinux labels: B has none' },
      { cause: 'xattr-filter', count: 2, text: expect.stringContaining('other attributes than security.capability') },
    ])
    // A filter removes neither capabilities nor attributes of both sides.
    expect(causesOf((b) => filterXattrs(b, (name) => name !== 'security.capability'))).toEqual([])
    const both = causesOf((b) => {
      withStat(b, '/usr/share', { xattrs: Xattrs.empty })
      withStat(b, '/usr/share/doc', { xattrs: make().get('/usr/share')!.stat.xattrs })
    })
    expect(both).toEqual([])
  })

  test('labels of another policy', () => {
    const causes = causesOf((b) => {
      const { xattrs } = b.get('/run')!.stat
      withStat(b, '/run', { xattrs: Xattrs.of([...xattrs].map(([name]) => [name, Buffer.from('other')])) })
    })
    expect(causes).toEqual([
      { cause: 'label', count: 1, text: 'SELinux labels: A and B are labelled by different policies' },
    ])
  })

  test.each(['usr', 'newest'] as const)('the rule %s for the root directory', (root) => {
    const causes = causesOf((b) => transformForOci(b, { root, emptyRun: false, xattrs: 'all' }))
    expect(causes).toHaveLength(1)
    expect(causes[0]).toMatchObject({ cause: 'root-metadata', text: expect.stringContaining('in B alone it ') })
    expect(causes[0]!.text).toContain(root === 'usr' ? 'has the metadata of /usr' : 'is 0555 root:root')
  })

  test('/run emptied', () => {
    const causes = causesOf((b) => transformForOci(b, { root: 'keep', xattrs: 'all' }))
    expect(causes).toEqual([{ cause: 'run-emptied', count: 2, text: expect.stringContaining('emptied in B') }])
  })

  test('/boot and /sysroot emptied', () => {
    const causes = causesOf(emptyBootDirectories)
    expect(causes).toEqual([{ cause: 'boot-emptied', count: 3, text: expect.stringContaining('(--bootable)') }])
  })

  test('hardlinks broken up', () => {
    const causes = causesOf((b) => {
      const { stat, content } = b.get('/usr/ping') as Leaf
      b.insert('/usr/ping', new Leaf(stat, content))
      b.insert('/usr/tool', new Leaf(stat, content))
    })
    expect(causes).toEqual([
      { cause: 'hardlinks', count: 2, text: expect.stringContaining('a file of its own in B and not in A') },
    ])
  })

  test('the name an inode stands under', () => {
    const causes = causesOf((b) => {
      ;(b.get('/usr/ping') as Leaf).home = { parent: b.get('/usr') as Directory, name: 'tool' as never }
    })
    expect(causes).toMatchObject([{ cause: 'home', count: 1 }])
  })

  test('the hash', () => {
    const [a, b] = [make('sha256'), make('sha512')]
    const causes = explain(diffTrees(a, b), { a: { algorithm: 'sha256' }, b: { algorithm: 'sha512' } })
    expect(causes).toEqual([
      { cause: 'hash', count: 2, text: expect.stringContaining('by sha256 in A and by sha512 in B') },
    ])
    // Where all contents are in the images it is known from outside.
    expect(explain([], { a: { algorithm: 'sha512' }, b: { algorithm: 'sha256' } })).toMatchObject([
      { cause: 'hash', count: 0 },
    ])
  })

  test('the EROFS version', () => {
    expect(explain([], { a: { version: 1 }, b: { version: 2 } })).toEqual([
      { cause: 'erofs-version', count: 0, text: expect.stringContaining('A is of version 1 and B of version 2') },
    ])
    expect(explain([], { a: { version: 1 }, b: { version: 1 } })).toEqual([])
  })

  test('none of these: contents', () => {
    expect(causesOf((b) => b.insert('/usr/ping', new Leaf(b.get('/usr/ping')!.stat, { type: 'fifo' })))).toEqual([])
    expect(causesOf((b) => withStat(b, '/usr/ping', { mode: 0o700 }))).toEqual([])
  })
})

test('the same contents, in the image or in an object', () => {
  const [a, b] = [make(), make()]
  const { stat } = b.get('/boot/kernel')!
  b.insert('/boot/kernel', new Leaf(stat, { type: 'inline', bytes: large }))
  expect([...diffTrees(a, b)].flatMap(({ changes }) => changes.map(({ what }) => what))).toEqual(['storage'])
  b.insert('/boot/kernel', new Leaf(stat, { type: 'inline', bytes: Buffer.alloc(100) }))
  expect([...diffTrees(a, b)].flatMap(({ changes }) => changes.map(({ what }) => what))).toEqual(['content'])
  a.insert('/boot/kernel', new Leaf(stat, { type: 'external', size: 100, id: undefined }))
  expect([...diffTrees(a, b)].flatMap(({ changes }) => changes.map(({ what }) => what))).toEqual(['storage'])
})

test('the summary counts by kind', () => {
  const [a, b] = [make(), make()]
  for (const inode of inodes(b)) inode.stat = { ...inode.stat, mtimeNsec: 0 }
  b.get('/usr/share')!.stat = { ...b.get('/usr/share')!.stat, xattrs: Xattrs.empty }
  b.root.entries.delete('boot' as never)
  b.insert('/fifo', new Leaf(b.root.stat, { type: 'fifo' }))
  const tally = new DifferenceTally()
  for (const difference of diffTrees(a, b)) tally.add(difference)
  expect(tally.lines().map(({ count, text }) => `${count} ${text}`)).toEqual([
    '5 directory mtimes differ in nanoseconds only',
    '2 file mtimes differ in nanoseconds only',
    '1 directory only in A',
    '1 directory xattr trusted.t differs',
    '1 fifo only in B',
    '1 file only in A',
  ])
  expect(tally).toMatchObject({ total: 11, paths: 11 })
})
