import { describe, expect, test } from 'vitest'
import { type ByteString, fromLatin1 } from '../../../src/bytes.ts'
import { ComposefsError } from '../../../src/errors.ts'
import { type DumpRecord, TreeAssembler } from '../../../src/tree/assemble.ts'
import { Directory, Leaf } from '../../../src/tree/inode.ts'
import { defaultDirectoryStat } from '../../../src/tree/stat.ts'

const stat = defaultDirectoryStat
type Line = [kind: 'directory' | 'file', path: string] | [kind: 'link', path: string, target: string]

function record([kind, path, target]: Line, line: number): DumpRecord {
  const at = { path: fromLatin1(path), line }
  if (kind === 'link') return { kind, ...at, target: fromLatin1(target!) }
  return { kind: 'inode', ...at, inode: kind === 'directory' ? new Directory(stat) : new Leaf(stat, { type: 'fifo' }) }
}

function assemble(...lines: Line[]) {
  const assembler = new TreeAssembler()
  lines.forEach((line, i) => {
    assembler.add(record(line, i + 1))
  })
  return assembler.finish()
}

function failure(...lines: Line[]): ComposefsError {
  try {
    assemble(...lines)
  } catch (error) {
    if (error instanceof ComposefsError) return error
    throw error
  }
  throw new Error('was taken')
}

const root: Line = ['directory', '/']

describe('paths', () => {
  test('siblings may come in any order, and after other directories', () => {
    const tree = assemble(
      root,
      ['directory', '/b'],
      ['directory', '/a'],
      ['file', '/b/y'],
      ['file', '/a/x'],
      ['file', '/b/x'],
    )
    const paths = [...tree.walk()].map((item) => item.path)
    expect(paths).toEqual(['/', '/a', '/a/x', '/b', '/b/x', '/b/y'])
  })

  test.each(['//d///f', 'd/f', '/d//f', '///d/f'])('%s is /d/f', (path) => {
    const tree = assemble(root, ['directory', '/d'], ['file', path])
    expect(tree.get('/d/f')?.kind).toBe('leaf')
  })

  test('a directory may be spelled oddly, and its entries as they please', () => {
    const tree = assemble(root, ['directory', '//d'], ['directory', 'd//e'], ['file', '/d/e/f'], ['file', 'd/e/g'])
    expect([...(tree.get('/d/e') as Directory).entries.keys()]).toEqual(['f', 'g'])
  })

  test('a name may have 255 bytes', () => {
    const name = 'n'.repeat(255)
    expect(assemble(root, ['file', `/${name}`]).get(name)?.kind).toBe('leaf')
  })

  test.each<[string, string, Line[]]>([
    ['ERR_ROOT_NOT_DIRECTORY', 'nothing', []],
    ['ERR_ROOT_NOT_DIRECTORY', 'a file as root', [['file', '/']]],
    ['ERR_ROOT_NOT_DIRECTORY', 'a link as root', [['link', '/', '/a']]],
    ['ERR_PARENT_MISSING', 'no root first', [['directory', '/a'], root]],
    ['ERR_ENTRY_EXISTS', 'two roots', [root, root]],
    ['ERR_ENTRY_EXISTS', 'a path twice', [root, ['file', '/a'], ['file', '//a']]],
    ['ERR_ENTRY_EXISTS', 'a path twice, first a link', [root, ['file', '/a'], ['link', '/b', '/a'], ['file', '/b']]],
    ['ERR_ENTRY_EXISTS', 'a path twice, then a link', [root, ['file', '/a'], ['file', '/b'], ['link', '/b', '/a']]],
    ['ERR_PARENT_MISSING', 'no parent', [root, ['file', '/a/b/c']]],
    ['ERR_PARENT_MISSING', 'a parent that comes later', [root, ['file', '/a/b'], ['directory', '/a']]],
    ['ERR_PARENT_NOT_DIRECTORY', 'a file as parent', [root, ['file', '/a'], ['file', '/a/b']]],
    ['ERR_PARENT_NOT_DIRECTORY', 'a file further up', [root, ['file', '/a'], ['file', '/a/b/c']]],
    ['ERR_PARENT_NOT_DIRECTORY', 'a link as parent', [root, ['file', '/a'], ['link', '/l', '/a'], ['file', '/l/b']]],
    ['ERR_PATH_INVALID', 'dot', [root, ['file', '/.']]],
    ['ERR_PATH_INVALID', 'dot dot', [root, ['directory', '/a'], ['file', '/a/..']]],
    ['ERR_PATH_INVALID', 'dot inside', [root, ['directory', '/a'], ['file', '/./a/b']]],
    ['ERR_PATH_INVALID', 'dot dot inside', [root, ['directory', '/a'], ['file', '/a/../b']]],
    ['ERR_PATH_INVALID', 'a slash at the end', [root, ['directory', '/a/']]],
    ['ERR_PATH_INVALID', 'a root with two slashes', [root, ['directory', '//']]],
    ['ERR_PATH_INVALID', 'no path', [root, ['file', '']]],
    ['ERR_PATH_INVALID', 'NUL', [root, ['file', '/a\0']]],
    ['ERR_NAME_TOO_LONG', '256 bytes', [root, ['file', `/${'n'.repeat(256)}`]]],
  ])('%s: %s', (code, _, lines) => expect(failure(...lines).code).toBe(code))

  test('messages name line, path, and the parent concerned', () => {
    const error = failure(root, ['directory', '/a'], ['file', '/a/b\xff/c/d'])
    expect(error.message).toBe(
      'line 3: the parent directory /a/b\\xff does not exist: /a/b\\xff/c/d — a directory must come before what is in it',
    )
  })

  test('a path of many components is no trouble', () => {
    const assembler = new TreeAssembler()
    let path = ''
    assembler.add(record(root, 1))
    for (let i = 0; i < 2000; i++) {
      path += '/d'
      assembler.add(record(['directory', path], i))
    }
    expect(assembler.finish().get(path)?.kind).toBe('directory')
  })
})

describe('links', () => {
  test('targets may come later, and links may lead to links', () => {
    const tree = assemble(
      root,
      ['link', '/a', '/b'],
      ['link', '/b', 'd//z/'],
      ['directory', '/d'],
      ['link', '/c', '/a'],
      ['file', '/d/z'],
    )
    const leaf = tree.get('/d/z')
    expect(leaf?.kind).toBe('leaf')
    for (const path of ['/a', '/b', '/c']) expect(tree.get(path)).toBe(leaf)
    expect(tree.linkCounts().get(leaf as Leaf)).toBe(4)
  })

  test('the inode remembers its own name', () => {
    const tree = assemble(
      root,
      ['link', '/a', '/l'],
      ['directory', '/d'],
      ['link', '/l', '/d/z'],
      ['file', '/d/z'],
      ['link', '/m', '/a'],
    )
    const directory = tree.get('/d') as Directory
    expect((tree.get('/a') as Leaf).home).toEqual({ parent: directory, name: 'z' })
    expect((tree.get('/a') as Leaf).home?.parent).toBe(directory)
  })

  test('a leaf without links has no home', () => {
    expect(assemble(root, ['file', '/a']).get('/a')).toHaveProperty('home', undefined)
  })

  test('a link does not change the link count', () => {
    const assembler = new TreeAssembler()
    assembler.add(record(root, 1))
    const leaf = new Leaf(stat, { type: 'fifo' }, 7)
    assembler.add({ kind: 'inode', path: '/a' as ByteString, inode: leaf, line: 2 })
    assembler.add(record(['link', '/b', '/a'], 3))
    expect(assembler.finish().get('/b')).toHaveProperty('nlink', 7)
  })

  test.each<[string, RegExp, Line[]]>([
    ['missing', /line 2: .*\/nowhere does not exist: \/a/, [['link', '/a', '/nowhere']]],
    [
      'missing behind a link',
      /line 3: .*\/nowhere does not exist: \/b/,
      [
        ['link', '/a', '/b'],
        ['link', '/b', '/nowhere'],
      ],
    ],
    [
      'below a file',
      /\/f\/x does not exist/,
      [
        ['file', '/f'],
        ['link', '/a', '/f/x'],
      ],
    ],
    [
      'spelled with dots',
      /\/\.\/f does not exist/,
      [
        ['file', '/f'],
        ['link', '/a', '/./f'],
      ],
    ],
    [
      'a directory',
      /\/d is a directory: \/a/,
      [
        ['directory', '/d'],
        ['link', '/a', '/d'],
      ],
    ],
    ['the root', /\/ is a directory: \/a/, [['link', '/a', '/']]],
    ['the link itself', /line 2: the hardlink is its own target: \/a/, [['link', '/a', 'a']]],
    [
      'a circle of two',
      /the hardlinks lead in a circle/,
      [
        ['link', '/a', '/b'],
        ['link', '/b', '/a'],
      ],
    ],
    [
      'into a circle',
      /in a circle/,
      [
        ['link', '/0', '/a'],
        ['link', '/a', '/b'],
        ['link', '/b', '/a'],
      ],
    ],
    [
      'into one that is its own target',
      /in a circle/,
      [
        ['link', '/0', '/a'],
        ['link', '/a', '/a'],
      ],
    ],
  ])('the target is %s', (_, message, lines) => {
    const error = failure(root, ...lines)
    expect(error.code).toBe('ERR_HARDLINK_TARGET')
    expect(error.message).toMatch(message)
  })

  test('a long chain takes neither the stack nor long', () => {
    const assembler = new TreeAssembler()
    assembler.add(record(root, 1))
    const count = 100_000
    for (let i = 0; i < count; i++) assembler.add(record(['link', `/${i}`, `/${i + 1}`], i + 2))
    assembler.add(record(['file', `/${count}`], count + 2))
    const tree = assembler.finish()
    expect(tree.get('/0')).toBe(tree.get(`/${count}`))
  })
})
