import { describe, expect, test } from 'vitest'
import { bytesOf } from '../../../src/bytes.ts'
import { ComposefsError } from '../../../src/errors.ts'
import { type Directory, LayerMerger, type Leaf, makedev, Xattrs } from '../../../src/tree/index.ts'
import {
  directory,
  file,
  hardlink,
  type Item,
  item,
  lines,
  merge,
  paths,
  symlink,
  whiteout,
} from '../../support/layer-entries.ts'

function code(layers: readonly (readonly Item[])[], options = {}): string | undefined {
  try {
    merge(layers, options)
  } catch (error) {
    expect(error).toBeInstanceOf(ComposefsError)
    expect((error as ComposefsError).message).toMatch(/ — ./)
    return (error as ComposefsError).code
  }
  return undefined
}

const usr = directory('usr')
const base = [usr, directory('usr/d', { mtime: 5 }), file('usr/d/x', 'x'), file('usr/d/y', 'y'), file('usr/z', 'z')]

describe('one layer', () => {
  test('names of whiteouts are names where they are to be', () => {
    const items = [usr, file('usr/.wh.d', 'x'), hardlink('usr/.wh..wh..opq', 'usr/.wh.d')]
    const both = paths(merge([base, items], { whiteouts: false }))
    expect(both).toEqual(['/usr', '/usr/.wh..wh..opq', '/usr/.wh.d', '/usr/d', '/usr/d/x', '/usr/d/y', '/usr/z'])
    expect(paths(merge([base, items.slice(0, 2)]))).toEqual(['/usr', '/usr/z'])
  })

  test('every type of entry', () => {
    const tree = merge([
      [
        directory('d', { mode: 0o1777, uid: 1, gid: 2, mtime: 3, mtimeNsec: 4 }),
        file('d/inline', 'abc'),
        file('d/external', 'e'.repeat(65)),
        file('d/empty'),
        symlink('d/link', 'inline'),
        item('character-device', 'd/null', { rdev: makedev(1, 3) }),
        item('block-device', 'd/disk', { rdev: makedev(8, 300) }),
        item('fifo', 'd/fifo'),
        item('socket', 'd/socket'),
        hardlink('d/more', 'd/inline'),
      ],
    ])
    expect(lines(tree)).toEqual([
      '/d 0 41777 2 1 2 0 3.4 - - -',
      '/d/disk 0 60644 1 0 0 1050668 1.0 - - -',
      '/d/empty 0 100644 1 0 0 0 1.0 - - -',
      expect.stringMatching(/^\/d\/external 65 100644 1 0 0 0 1\.0 ([0-9a-f]{2})\/([0-9a-f]{62}) - \1\2$/),
      '/d/fifo 0 10644 1 0 0 0 1.0 - - -',
      '/d/inline 3 100644 2 0 0 0 1.0 - abc -',
      '/d/link 6 120777 1 0 0 0 1.0 inline - -',
      '/d/more 0 @120000 - - - - 0.0 /d/inline - -',
      '/d/null 0 20644 1 0 0 259 1.0 - - -',
      '/d/socket 0 140644 1 0 0 0 1.0 - - -',
    ])
  })

  test('slashes and dots in paths do not count', () => {
    const tree = merge([
      [directory('./a/'), directory('//a//./b/.'), file('/a/b/c', 'c'), hardlink('a/d', './/a/b//c/')],
    ])
    expect(paths(tree)).toEqual(['/a', '/a/b', '/a/b/c', '/a/d'])
    expect(tree.get('a/d')).toBe(tree.get('/a/b/c'))
  })

  test('names are bytes', () => {
    const tree = merge([[file('\xff\xfe'), file('...'), file('..a'), file(' \n'), file('n'.repeat(255))]])
    expect(tree.get(Buffer.from([0xff, 0xfe]))?.kind).toBe('leaf')
    expect(paths(tree)).toEqual(['/ \n', '/...', '/..a', `/${'n'.repeat(255)}`, '/\xff\xfe'])
  })

  test('the contents of a small file are copied', () => {
    const bytes = Buffer.from('small')
    const tree = merge([[item('file', 'f', { size: 5 }, { type: 'inline', bytes })]])
    bytes.fill(0xee)
    expect((tree.get('f') as Leaf).content).toEqual({ type: 'inline', bytes: Buffer.from('small') })
  })

  test('the last of several entries with one path holds', () => {
    const tree = merge([
      [file('f', 'one'), directory('f'), file('f/below'), file('f', 'two'), symlink('s', 'f'), file('s')],
    ])
    expect(lines(tree)).toEqual(['/f 3 100644 1 0 0 0 1.0 - two -', '/s 0 100644 1 0 0 0 1.0 - - -'])
  })

  test('the entry of the root gives its metadata', () => {
    const xattrs = Xattrs.of([[bytesOf('user.a'), Buffer.from('1')]])
    for (const path of ['', '/', './', '/.']) {
      const tree = merge([[usr, directory(path, { mode: 0o700, uid: 7, mtime: 9, xattrs })]])
      expect(tree.root.stat).toEqual({ mode: 0o700, uid: 7, gid: 0, mtime: 9, mtimeNsec: 0, xattrs })
      expect(paths(tree)).toEqual(['/usr'])
    }
    expect(merge([[usr]]).root.stat).toMatchObject({ mode: 0, uid: 0, gid: 0, mtime: 0 })
  })
})

describe('what is refused', () => {
  test.each<[string, string, Item[]]>([
    ['a missing parent', 'ERR_PARENT_MISSING', [file('a/b/c')]],
    ['a symlink as the parent of a whiteout', 'ERR_PARENT_NOT_DIRECTORY', [symlink('s', 'd'), whiteout('s/.wh.b')]],
    ['a file as a parent', 'ERR_PARENT_NOT_DIRECTORY', [file('f', 'x'), file('f/below')]],
    ['a symlink as a parent', 'ERR_PARENT_NOT_DIRECTORY', [directory('d'), symlink('s', 'd'), file('s/below')]],
    ['a file as a grandparent', 'ERR_PARENT_NOT_DIRECTORY', [file('f', 'x'), file('f/a/b')]],
    ['..', 'ERR_PATH_INVALID', [directory('t'), file('t/../u')]],
    ['.. at the end', 'ERR_PATH_INVALID', [directory('t'), directory('t/..')]],
    ['.. in the target of a hardlink', 'ERR_PATH_INVALID', [file('t'), hardlink('u', '../t')]],
    ['NUL in a name', 'ERR_PATH_INVALID', [file('a\0b')]],
    ['a name of 256 bytes', 'ERR_NAME_TOO_LONG', [file('n'.repeat(256))]],
    ['a parent of 256 bytes', 'ERR_NAME_TOO_LONG', [file(`${'n'.repeat(256)}/f`)]],
    ['a hardlink to nowhere', 'ERR_HARDLINK_TARGET', [hardlink('a', 'nowhere')]],
    ['a hardlink to what comes later', 'ERR_HARDLINK_TARGET', [hardlink('a', 'b'), file('b')]],
    ['a hardlink to itself', 'ERR_HARDLINK_TARGET', [hardlink('a', 'a')]],
    ['a hardlink to a directory', 'ERR_HARDLINK_TARGET', [directory('d'), hardlink('a', 'd')]],
    ['a hardlink to the root', 'ERR_HARDLINK_TARGET', [hardlink('a', '/')]],
    ['a hardlink without a target', 'ERR_HARDLINK_TARGET', [hardlink('a', '')]],
    ['a hardlink through a symlink', 'ERR_HARDLINK_TARGET', [...base, symlink('s', 'usr'), hardlink('a', 's/z')]],
    ['a whiteout that is a hardlink to nowhere', 'ERR_HARDLINK_TARGET', [hardlink('.wh.a', 'nowhere')]],
    ['a symlink without a target', 'ERR_SYMLINK_TARGET', [symlink('s', '')]],
    ['a symlink with a target of 4096 bytes', 'ERR_SYMLINK_TARGET', [symlink('s', 't'.repeat(4096))]],
    ['the root as a file', 'ERR_ROOT_NOT_DIRECTORY', [file('./')]],
    ['the root as a hardlink', 'ERR_ROOT_NOT_DIRECTORY', [file('f'), hardlink('/', 'f')]],
    ['an unknown type', 'ERR_TAR_TYPE', [item('unsupported', 'v')]],
  ])('%s', (_, wanted, layer) => {
    expect(code([layer])).toBe(wanted)
    expect(code([[directory('other')], layer])).toBe(wanted)
  })

  test('the message names the entry and what is wrong', () => {
    const message = (layer: Item[]) => {
      try {
        merge([layer])
        return undefined
      } catch (error) {
        return (error as Error).message
      }
    }
    expect(message([directory('a'), file('a/b/c/d')])).toMatch(
      /parent directory \/a\/b does not exist: \/a\/b\/c\/d — /,
    )
    expect(message([file('a/b/c/d')])).toMatch(/--implicit-parents/)
    expect(message([file('f'), file('f/g')])).toMatch(/\/f is a file, not a directory: \/f\/g — /)
    expect(message([symlink('lib', 'usr/lib/'), file('lib/x/y.so')])).toMatch(
      /parent \/lib is a symlink to usr\/lib\/, not a directory: \/lib\/x\/y.so — .* usr\/lib\/x\/y.so,/,
    )
    expect(message([hardlink('a', 'b\xff')])).toMatch(/target b\\xff of the hardlink does not exist: a at byte 0/)
    expect(message([item('symlink', 's', { offset: 1024 })])).toMatch(/no target: s at byte 1024/)
    expect(message([item('unsupported', 'v')])).toMatch(/type "Z": v/)
  })

  test('targets of 4095 bytes and names of 255 are not', () => {
    expect(code([[symlink('n'.repeat(255), 't'.repeat(4095))]])).toBeUndefined()
  })
})

describe('whiteouts', () => {
  const removed = (...upper: Item[]) => paths(merge([base, upper]))

  test('hide a file, a symlink, a whole directory', () => {
    expect(removed(whiteout('usr/.wh.z'))).toEqual(['/usr', '/usr/d', '/usr/d/x', '/usr/d/y'])
    expect(removed(whiteout('usr/.wh.d'))).toEqual(['/usr', '/usr/z'])
    expect(removed(whiteout('.wh.usr'))).toEqual([])
    expect(paths(merge([[symlink('s', 'usr')], [whiteout('.wh.s')]]))).toEqual([])
  })

  test('are no names themselves, whatever their type', () => {
    const upper = [
      directory('usr/.wh.z'),
      symlink('usr/d/.wh.x', 'a'),
      item('character-device', 'usr/d/.wh.y', { rdev: 0 }),
      hardlink('usr/.wh.w', 'usr/d'),
    ]
    expect(code([base, upper])).toBe('ERR_HARDLINK_TARGET')
    expect(removed(...upper.slice(0, 3))).toEqual(['/usr', '/usr/d'])
    // A whiteout that is a good hardlink hides as any other.
    expect(removed(hardlink('usr/.wh.z', 'usr/z'))).not.toContain('/usr/z')
  })

  test('of what is not there do nothing', () => {
    const aufs = ['.wh.', '.wh..wh.', '.wh..wh.plnk', '.wh..wh.aufs', '.wh.nothing'].map((name) =>
      whiteout(`usr/${name}`),
    )
    expect(removed(...aufs)).toEqual(paths(merge([base])))
    expect(paths(merge([[usr, whiteout('usr/.wh.later'), file('usr/later')]]))).toEqual(['/usr', '/usr/later'])
  })

  test.each([{}, { implicitParents: true }])('whose directory is not there do nothing, with %j', (options) => {
    const nowhere = ['gone/.wh.a', 'usr/gone/a/.wh..wh..opq', 'usr/z/.wh.a', 'usr/z/a/.wh..wh..opq'].map(whiteout)
    expect(paths(merge([base, nowhere], options))).toEqual(paths(merge([base])))
    expect(paths(merge([nowhere.slice(0, 2)], options))).toEqual([])
    // containerd#4659: the directory went in the layer below, and comes back in this one.
    const again = [directory('usr'), directory('usr/d'), file('usr/d/new')]
    const stack = [base, [whiteout('usr/.wh.d')], [whiteout('usr/d/e/.wh.x'), ...again]]
    expect(paths(merge(stack, options))).toEqual(['/usr', '/usr/d', '/usr/d/new', '/usr/z'])
  })

  test.each([{}, { implicitParents: true }])(
    'of a directory and of what was in it, in any order, with %j',
    (options) => {
      const hidden = ['usr/.wh.d', 'usr/d/.wh.x', 'usr/d/.wh..wh..opq', 'usr/d/e/.wh.f'].map(whiteout)
      const lower = [...base, directory('usr/d/e'), file('usr/d/e/f')]
      for (let i = 0; i < hidden.length; i++) {
        const order = [...hidden.slice(i), ...hidden.slice(0, i)]
        for (const upper of [order, order.toReversed()]) {
          expect(paths(merge([lower, upper], options))).toEqual(['/usr', '/usr/z'])
          // An opaque marker above hides what a whiteout has passed through only.
          expect(paths(merge([lower, [...upper.slice(1), whiteout('usr/.wh..wh..opq')]], options))).toEqual(['/usr'])
        }
      }
    },
  )

  test('of aufs are hardlinks of each other, and its own directories mean nothing', () => {
    const links = [whiteout('usr/.wh.z'), hardlink('usr/d/.wh.x', 'usr/.wh.z'), hardlink('.wh.gone', '.wh..wh.aufs')]
    expect(removed(...links)).toEqual(['/usr', '/usr/d', '/usr/d/y'])
    const plnk = [directory('.wh..wh.plnk'), file('.wh..wh.plnk/12.34', 'x'), file('.wh..wh.orph/a/b')]
    for (const implicitParents of [false, true]) {
      expect(paths(merge([base, plnk], { implicitParents }))).toEqual(paths(merge([base])))
    }
  })

  test('that come again and again look at what the layer wrote only once', () => {
    const merger = new LayerMerger()
    const add = (items: Item[]) => {
      for (const { entry, content } of items) merger.add(entry, content)
    }
    merger.beginLayer()
    add(base)
    merger.beginLayer()
    add([directory('usr/d'), file('usr/d/own'), directory('usr/d/e'), file('usr/d/e/own')])
    let looks = 0
    for (const path of ['usr', 'usr/d', 'usr/d/e']) {
      const { entries } = merger.fileSystem.get(path) as Directory
      entries[Symbol.iterator] = () => {
        looks++
        return entries.entries()
      }
    }
    const markers = ['usr/d/.wh..wh..opq', 'usr/.wh.d', 'usr/d/.wh.e', 'usr/d/e/.wh..wh..opq', 'usr/.wh..wh..opq']
    for (let i = 0; i < 10; i++) add(markers.map(whiteout))
    expect(looks).toBe(3)
    add([file('usr/d/later')])
    add(markers.map(whiteout))
    expect(paths(merger.fileSystem)).toEqual([
      '/usr',
      '/usr/d',
      '/usr/d/e',
      '/usr/d/e/own',
      '/usr/d/later',
      '/usr/d/own',
    ])
    merger.beginLayer()
    add(markers.map(whiteout))
    expect(paths(merger.fileSystem)).toEqual(['/usr'])
  })

  test('hide lower layers only, wherever they stand', () => {
    const fresh = file('usr/z', 'new')
    for (const upper of [
      [whiteout('usr/.wh.z'), fresh],
      [fresh, whiteout('usr/.wh.z')],
    ]) {
      expect(lines(merge([base, upper]))).toContain('/usr/z 3 100644 1 0 0 0 1.0 - new -')
    }
    expect(paths(merge([[file('a'), whiteout('.wh.a')]]))).toEqual(['/a'])
  })

  test('of a directory hide its lower contents and keep its own', () => {
    const own = [directory('usr/d', { mtime: 6 }), file('usr/d/new')]
    for (const upper of [
      [whiteout('usr/.wh.d'), ...own],
      [...own, whiteout('usr/.wh.d')],
      [own[0]!, whiteout('usr/.wh.d'), own[1]!],
    ]) {
      const tree = merge([base, upper])
      expect(paths(tree)).toEqual(['/usr', '/usr/d', '/usr/d/new', '/usr/z'])
      expect(tree.get('/usr/d')?.stat.mtime).toBe(6)
    }
  })

  test('act on the layers below and not above', () => {
    const layers = [[file('a', '1')], [whiteout('.wh.a')], [file('a', '3')]]
    expect(lines(merge(layers))).toEqual(['/a 1 100644 1 0 0 0 1.0 - 3 -'])
    expect(lines(merge([...layers, [whiteout('.wh.a')]]))).toEqual([])
  })

  test('may be repeated', () => {
    expect(removed(whiteout('usr/.wh.z'), whiteout('usr/.wh.z'))).not.toContain('/usr/z')
  })

  test('a device 0:0 replaces the name and hides nothing else', () => {
    const tree = merge([base, [item('character-device', 'usr/d', { rdev: 0 })]])
    expect(paths(tree)).toEqual(['/usr', '/usr/d', '/usr/z'])
    expect((tree.get('usr/d') as Leaf).isWhiteout).toBe(true)
  })
})

describe('opaque markers', () => {
  const opaque = whiteout('usr/.wh..wh..opq')

  test('hide what lower layers have in the directory', () => {
    expect(paths(merge([base, [opaque]]))).toEqual(['/usr'])
    expect(paths(merge([base, [whiteout('.wh..wh..opq')]]))).toEqual([])
  })

  test('spare the siblings of their layer, before and after', () => {
    const own = [directory('usr', { mtime: 8 }), file('usr/new'), directory('usr/d'), file('usr/d/new')]
    for (let at = 0; at <= own.length; at++) {
      const tree = merge([base, [...own.slice(0, at), opaque, ...own.slice(at)]])
      expect(paths(tree)).toEqual(['/usr', '/usr/d', '/usr/d/new', '/usr/new'])
      expect(tree.get('usr')?.stat.mtime).toBe(8)
    }
  })

  test('in the lowest layer hide nothing', () => {
    expect(paths(merge([[usr, file('usr/a'), opaque]]))).toEqual(['/usr', '/usr/a'])
  })

  test('hide below directories that the layer only passes through', () => {
    const upper = [directory('usr/d'), file('usr/d/new'), opaque]
    expect(paths(merge([base, upper]))).toEqual(['/usr', '/usr/d', '/usr/d/new'])
  })

  test('with another name are whiteouts', () => {
    expect(paths(merge([base, [whiteout('usr/.wh..wh.opq')]]))).toEqual(paths(merge([base])))
  })
})

describe('upper layers', () => {
  test('a directory met again takes the new metadata and keeps its children', () => {
    const xattrs = Xattrs.of([[bytesOf('user.new'), Buffer.from('1')]])
    const old = Xattrs.of([[bytesOf('user.old'), Buffer.from('1')]])
    const lower = [directory('d', { mode: 0o700, uid: 1, xattrs: old }), file('d/f')]
    const tree = merge([lower, [directory('d', { mode: 0o711, gid: 2, mtime: 7, mtimeNsec: 8, xattrs })]])
    expect(tree.get('d')?.stat).toEqual({ mode: 0o711, uid: 0, gid: 2, mtime: 7, mtimeNsec: 8, xattrs })
    expect(paths(tree)).toEqual(['/d', '/d/f'])
    expect(merge([lower, [file('d/g')]]).get('d')?.stat).toMatchObject({ mode: 0o700, uid: 1 })
  })

  test('files replace directories and back', () => {
    expect(paths(merge([base, [file('usr/d', 'f')]]))).toEqual(['/usr', '/usr/d', '/usr/z'])
    expect(paths(merge([base, [file('usr/d', 'f')], [directory('usr/d')]]))).toEqual(['/usr', '/usr/d', '/usr/z'])
    expect(paths(merge([base, [directory('usr/z'), file('usr/z/in')]]))).toContain('/usr/z/in')
    expect(paths(merge([base, [symlink('usr/d', 'x'), directory('usr/d'), file('usr/d/a')]]))).toEqual([
      '/usr',
      '/usr/d',
      '/usr/d/a',
      '/usr/z',
    ])
  })

  test('a directory that was replaced in between has no lower contents to hide', () => {
    const upper = [file('usr/d', 'f'), directory('usr/d'), file('usr/d/x', 'own'), whiteout('usr/d/.wh.x')]
    expect(paths(merge([base, upper]))).toContain('/usr/d/x')
  })

  test('hardlinks lead into lower layers', () => {
    const tree = merge([
      [file('a', 'text', { uid: 5 }), hardlink('b', 'a')],
      [directory('d'), hardlink('d/c', 'b')],
    ])
    expect(tree.get('d/c')).toBe(tree.get('a'))
    expect(tree.linkCounts().get(tree.get('a') as Leaf)).toBe(3)
    expect(tree.get('d/c')?.stat.uid).toBe(5)
  })

  test('a hardlink has the metadata of its target, not its own', () => {
    const link = item('hardlink', 'b', { linkTarget: 'a', mode: 0o777, uid: 9, mtime: 99 })
    expect(merge([[file('a', 'x'), link]]).get('b')?.stat).toMatchObject({ mode: 0o644, uid: 0, mtime: 1 })
  })

  test('hardlinks outlive their target', () => {
    const lower = [file('a', 'text'), hardlink('b', 'a')]
    expect(lines(merge([lower, [whiteout('.wh.a')]]))).toEqual(['/b 4 100644 1 0 0 0 1.0 - text -'])
    expect(lines(merge([lower, [file('a', 'new')]]))).toEqual([
      '/a 3 100644 1 0 0 0 1.0 - new -',
      '/b 4 100644 1 0 0 0 1.0 - text -',
    ])
  })

  test('hardlinks to symlinks and devices', () => {
    const tree = merge([[symlink('s', 'x'), hardlink('t', 's'), item('fifo', 'p'), hardlink('q', 'p')]])
    expect(tree.get('t')).toBe(tree.get('s'))
    expect(tree.get('q')).toBe(tree.get('p'))
  })

  test('what a whiteout of the same layer has hidden is no target', () => {
    expect(code([[file('a')], [whiteout('.wh.a'), hardlink('b', 'a')]])).toBe('ERR_HARDLINK_TARGET')
    expect(paths(merge([[file('a')], [hardlink('b', 'a'), whiteout('.wh.a')]]))).toEqual(['/b'])
  })

  test('a hardlink on its own name in a lower layer changes nothing, and is not hidden', () => {
    expect(paths(merge([[file('a')], [hardlink('a', 'a'), whiteout('.wh.a')]]))).toEqual(['/a'])
  })
})

describe('implicit parents', () => {
  test('are 0755, root:root, time 0', () => {
    const tree = merge([[file('a/b/c', 'x')]], { implicitParents: true })
    expect(lines(tree)).toEqual([
      '/a 0 40755 3 0 0 0 0.0 - - -',
      '/a/b 0 40755 2 0 0 0 0.0 - - -',
      '/a/b/c 1 100644 1 0 0 0 1.0 - x -',
    ])
  })

  test('take the metadata of an entry that comes later', () => {
    const tree = merge([[file('a/b'), directory('a', { mode: 0o700 })]], { implicitParents: true })
    expect(lines(tree)[0]).toBe('/a 0 40700 2 0 0 0 1.0 - - -')
    expect(paths(tree)).toEqual(['/a', '/a/b'])
  })

  test('do not replace files or symlinks', () => {
    expect(code([[file('a'), file('a/b')]], { implicitParents: true })).toBe('ERR_PARENT_NOT_DIRECTORY')
    expect(code([[symlink('a', 'c'), file('a/b')]], { implicitParents: true })).toBe('ERR_PARENT_NOT_DIRECTORY')
  })

  test('are of the layer that needed them', () => {
    const upper = [file('new/f'), whiteout('.wh..wh..opq')]
    expect(paths(merge([base, upper], { implicitParents: true }))).toEqual(['/new', '/new/f'])
  })
})

test('without beginLayer everything is one layer', () => {
  const merger = new LayerMerger()
  for (const { entry, content } of [file('a'), whiteout('.wh.a')]) merger.add(entry, content)
  expect(paths(merger.fileSystem)).toEqual(['/a'])
})

test('a directory of many names, deep and wide', () => {
  const deep = Array.from({ length: 2000 }, (_, i) => directory('d/'.repeat(i + 1)))
  const wide = Array.from({ length: 20000 }, (_, i) => file(`w${i}`))
  const tree = merge([deep, wide, [whiteout('.wh..wh..opq'), file('only')]])
  expect(paths(tree)).toEqual(['/only'])
  expect(paths(merge([deep]))).toHaveLength(2000)
})
