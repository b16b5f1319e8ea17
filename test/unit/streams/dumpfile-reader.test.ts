import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { bytesOf, fromLatin1 } from '../../../src/bytes.ts'
import { ComposefsError } from '../../../src/errors.ts'
import { ObjectId } from '../../../src/fsverity/object-id.ts'
import {
  DumpfileReader,
  DumpfileReaderMachine,
  type DumpfileReaderOptions,
  readDumpfile,
  readDumpfileFrom,
} from '../../../src/streams/dumpfile-reader.ts'
import type { DumpRecord } from '../../../src/streams/records.ts'
import type { Inode, LeafContent } from '../../../src/tree/inode.ts'
import { cut } from '../../support/chunks.ts'

const root = '/ 0 40755 2 0 0 0 0.0 - - -\n'
const hex = '1e2eaa4202d750a41174ee454970b92c1bc2f925b1e35076d8c7d5f56362ba64'
const object = `${hex.slice(0, 2)}/${hex.slice(2)}`

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

/** The inode of a single line. */
function inode(line: string, options?: DumpfileReaderOptions): Inode {
  const records: DumpRecord[] = []
  const machine = new DumpfileReaderMachine(options)
  machine.push(latin1(`${line}\n`), (record) => records.push(record))
  machine.finish((record) => records.push(record))
  expect(records).toHaveLength(1)
  const [record] = records
  if (record?.kind !== 'inode') throw new Error('not the line of an inode')
  return record.inode
}

function content(line: string): LeafContent {
  const found = inode(line)
  if (found.kind !== 'leaf') throw new Error('not the line of a leaf')
  return found.content
}

function failure(text: string, options?: DumpfileReaderOptions): ComposefsError {
  try {
    readDumpfile(latin1(text), options)
  } catch (error) {
    if (error instanceof ComposefsError) return error
    throw error
  }
  throw new Error(`was taken: ${text.slice(0, 200)}`)
}

describe('what a line says', () => {
  test('metadata of a directory', () => {
    const found = inode('/d 4096 42751 9 1000 4294967295 0 1700000000.123456789 - - - user.b=2 user.a=\\x00=')
    expect(found.kind).toBe('directory')
    const { xattrs, ...rest } = found.stat
    expect(rest).toEqual({ mode: 0o2751, uid: 1000, gid: 4294967295, mtime: 1700000000, mtimeNsec: 123456789 })
    expect([...xattrs]).toEqual([
      ['user.a', latin1('\0=')],
      ['user.b', latin1('2')],
    ])
  })

  test('a leaf keeps its link count', () => expect(inode('/f 0 100644 7 0 0 0 0.0 - - -')).toHaveProperty('nlink', 7))

  test.each([
    ['/f 3 100644 1 0 0 0 0.0 - a\\x00c -', { type: 'inline', bytes: latin1('a\0c') }],
    ['/f 0 100644 1 0 0 0 0.0 - - -', { type: 'inline', bytes: Buffer.alloc(0) }],
    ['/f 1 100644 1 0 0 0 0.0 - \\x2d -', { type: 'inline', bytes: latin1('-') }],
    [`/f 9 100644 1 0 0 0 0.0 ${object} - ${hex}`, { type: 'external', size: 9, id: ObjectId.fromHex(hex) }],
    [`/f 9 100644 1 0 0 0 0.0 - - ${hex}`, { type: 'external', size: 9, id: ObjectId.fromHex(hex), path: null }],
    [`/f 9 100644 1 0 0 0 0.0  - ${hex}`, { type: 'external', size: 9, id: ObjectId.fromHex(hex), path: null }],
    [`/f 9 100644 1 0 0 0 0.0 a\\x20b - ${hex}`, { type: 'external', size: 9, id: ObjectId.fromHex(hex), path: 'a b' }],
    [`/f 9 100644 1 0 0 0 0.0 ${object} - -`, { type: 'external', size: 9, id: undefined, path: object }],
    ['/f 9 100644 1 0 0 0 0.0 - - -', { type: 'external', size: 9, id: undefined, path: null }],
    ['/l 4 120777 1 0 0 0 0.0 \\x2d\\\\x2 - -', { type: 'symlink', target: '-\\x2' }],
    ['/c 0 20644 1 0 0 259 0.0 - - -', { type: 'character-device', rdev: 259 }],
    ['/b 5 60644 1 0 0 4294967295 0.0 - - -', { type: 'block-device', rdev: 4294967295, size: 5 }],
    ['/p 0 10644 1 0 0 0 0.0 - - -', { type: 'fifo' }],
    ['/s 18446744073709551615 140644 1 0 0 0 0.0 - - -', { type: 'socket', size: 2 ** 53 }],
  ])('%s', (line, expected) => expect(content(line)).toEqual(expected))

  test('digests may have upper case, and 128 digits', () => {
    const long = hex + hex.toUpperCase()
    const id = ObjectId.fromHex(long.toLowerCase())
    expect(content(`/f 9 100644 1 0 0 0 0.0 - - ${long}`)).toEqual({ type: 'external', size: 9, id, path: null })
  })

  test('content goes before payload and digest, and an empty file has neither', () => {
    expect(content(`/f 1 100644 1 0 0 0 0.0 ${object} x ${hex}`)).toEqual({ type: 'inline', bytes: latin1('x') })
    expect(content(`/f 0 100644 1 0 0 0 0.0 ${object} - ${hex}`)).toEqual({ type: 'inline', bytes: Buffer.alloc(0) })
  })

  test('what a type has no use for is passed over', () => {
    expect(inode(`/d 3 40755 1 0 0 5 0.0 p abc ${hex}`).kind).toBe('directory')
    expect(content(`/p 3 10644 1 0 0 5 0.0 p abc ${hex}`)).toEqual({ type: 'fifo', size: 3 })
    expect(content('/l 99 120777 1 0 0 5 0.0 t - -')).toEqual({ type: 'symlink', target: 't' })
  })

  test('bits of the mode above the type do not count', () => {
    expect(content('/l 0 20720777 1 0 0 0 0.0 t')).toEqual({ type: 'symlink', target: 't' })
  })

  test.each([
    ['-1.5', -1, 5],
    ['-0.0', 0, 0],
    ['007.007', 7, 7],
    ['5.4294967295', 5, 4294967295],
    ['9007199254740991.0', 9007199254740991, 0],
    ['9007199254740992.0', 9007199254740992n, 0],
    ['-9223372036854775808.0', -9223372036854775808n, 0],
    ['9223372036854775807.0', 9223372036854775807n, 0],
  ])('the time %s', (time, mtime, mtimeNsec) => {
    expect(inode(`/f 0 100644 1 0 0 0 ${time} - - -`).stat).toMatchObject({ mtime, mtimeNsec })
  })

  test('a link needs no more than path, mode and target', () => {
    const fileSystem = readDumpfile(
      latin1(`${root}/l x @100644 y z \\q - - //f/ \\q \\q noxattr\n/f 0 100644 2 0 0 0 0.0\n`),
    )
    expect(fileSystem.get('/l')).toBe(fileSystem.get('/f'))
  })

  test('bytes are not decoded', () => {
    const name = Buffer.from([0xff, 0xc3, 0xa9, 0x01])
    const line = Buffer.concat([latin1(`${root}/`), name, latin1(' 0 100644 1 0 0 0 0.0 - - -\n')])
    expect([...readDumpfile(line).root.entries.keys()]).toEqual([bytesOf(name)])
  })

  test('of two values of an xattr the later one holds', () => {
    const { xattrs } = inode('/f 0 100644 1 0 0 0 0.0 - - - a=1 a=\\x32').stat
    expect([...xattrs]).toEqual([['a', latin1('2')]])
  })

  test('the largest of everything', () => {
    const value = 'v'.repeat(32767 - 12 - 7 - 255)
    const line = `/f 5000 100644 4294967295 0 0 0 0.0 ${'p'.repeat(4095)} ${'c'.repeat(5000)} - ${'k'.repeat(255)}=${value}`
    expect(inode(line)).toMatchObject({ nlink: 4294967295, content: { type: 'inline' } })
    expect(content(`/f 9007199254740992 100644 1 0 0 0 0.0 - - -`)).toMatchObject({ size: 2 ** 53 })
    expect(content(`/l 0 120777 1 0 0 0 0.0 ${'t'.repeat(4095)} - -`)).toMatchObject({ type: 'symlink' })
  })
})

describe('tolerance', () => {
  test.each([
    ['no newline at the end', `${root}/f 0 100644 1 0 0 0 0.0 - - -`],
    ['no fields after the time', `${root}/f 0 100644 1 0 0 0 0.0\n`],
    ['no fields after the payload', `${root}/f 0 100644 1 0 0 0 0.0 -\n`],
    ['no digest', `${root}/f 0 100644 1 0 0 0 0.0 - -\n`],
    ['a space after the digest', `${root}/f 0 100644 1 0 0 0 0.0 - - - \n`],
    ['a space after the xattrs', `${root}/f 0 100644 1 0 0 0 0.0 - - - a=1 \n`],
    ['no slash at the beginning', `${root}f 0 100644 1 0 0 0 0.0 - - -\n`],
    ['two slashes', `${root}//f 0 100644 1 0 0 0 0.0 - - -\n`],
    ['an escaped slash', `${root}\\x2ff 0 100644 1 0 0 0 0.0 - - -\n`],
    ['a raw tab in the name of an xattr', `${root}/f 0 100644 1 0 0 0 0.0 - - - a\tb=1\n`],
  ])('%s', (_, text) => expect(readDumpfile(latin1(text)).get('/f')?.kind).toBe('leaf'))
})

describe('refusals', () => {
  const file = '/f 0 100644 1 0 0 0 0.0 - - -'
  test.each([
    ['ERR_DUMPFILE_SYNTAX', 'a blank line', `\n${file}`],
    ['ERR_DUMPFILE_SYNTAX', 'a blank line at the end', `${file}\n`],
    ['ERR_DUMPFILE_SYNTAX', 'an empty path', ` 0 100644 1 0 0 0 0.0 - - -`],
    ['ERR_DUMPFILE_SYNTAX', 'Windows line ends', `${file}\r`],
    ['ERR_DUMPFILE_SYNTAX', 'NUL', '/f\0 0 100644 1 0 0 0 0.0 - - -'],
    ['ERR_DUMPFILE_SYNTAX', 'a malformed escape', '/f\\q 0 100644 1 0 0 0 0.0 - - -'],
    ['ERR_DUMPFILE_SYNTAX', 'a mode that is no number', '/f 0 100648 1 0 0 0 0.0 - - -'],
    ['ERR_DUMPFILE_SYNTAX', 'two spaces', '/f 0  100644 1 0 0 0 0.0 - - -'],
    ['ERR_DUMPFILE_SYNTAX', 'a path alone', '/f'],
    ['ERR_DUMPFILE_SYNTAX', 'two @', '/f 0 @@100644 - - - - 0.0 /g - -'],
    ['ERR_DUMPFILE_SYNTAX', 'two spaces at the end', `${file}  `],
    ['ERR_DUMPFILE_SYNTAX', 'an xattr without =', `${file} user.a`],
    ['ERR_DUMPFILE_VALUE', 'a mode without type', '/f 0 644 1 0 0 0 0.0 - - -'],
    ['ERR_DUMPFILE_VALUE', 'a size with sign', '/f +0 100644 1 0 0 0 0.0 - - -'],
    ['ERR_DUMPFILE_VALUE', 'no size', '/f - 100644 1 0 0 0 0.0 - - -'],
    ['ERR_DUMPFILE_VALUE', 'a size of 65 bits', '/f 18446744073709551616 10644 1 0 0 0 0.0 - - -'],
    ['ERR_DUMPFILE_VALUE', 'a size of a million digits', `/f ${'9'.repeat(1e6)} 10644 1 0 0 0 0.0 - - -`],
    ['ERR_DUMPFILE_VALUE', 'a file above 2^53', '/f 9007199254740993 100644 1 0 0 0 0.0 - - -'],
    ['ERR_DUMPFILE_VALUE', 'a link count of 33 bits', '/f 0 100644 4294967296 0 0 0 0.0 - - -'],
    ['ERR_DUMPFILE_VALUE', 'a user in hex', '/f 0 100644 1 0x0 0 0 0.0 - - -'],
    ['ERR_DUMPFILE_VALUE', 'a negative group', '/f 0 100644 1 0 -1 0 0.0 - - -'],
    ['ERR_DUMPFILE_VALUE', 'no device', '/f 0 100644 1 0 0'],
    ['ERR_DUMPFILE_VALUE', 'no time', '/f 0 100644 1 0 0 0'],
    ['ERR_DUMPFILE_VALUE', 'a time without fraction', '/f 0 100644 1 0 0 0 0 - - 1.0'],
    ['ERR_DUMPFILE_VALUE', 'a time without seconds', '/f 0 100644 1 0 0 0 .0 - - -'],
    ['ERR_DUMPFILE_VALUE', 'a time without nanoseconds', '/f 0 100644 1 0 0 0 0. - - -'],
    ['ERR_DUMPFILE_VALUE', 'a time with two dots', '/f 0 100644 1 0 0 0 0.0.0 - - -'],
    ['ERR_DUMPFILE_VALUE', 'negative nanoseconds', '/f 0 100644 1 0 0 0 0.-1 - - -'],
    ['ERR_DUMPFILE_VALUE', 'nanoseconds of 33 bits', '/f 0 100644 1 0 0 0 0.4294967296 - - -'],
    ['ERR_DUMPFILE_VALUE', 'seconds of 65 bits', '/f 0 100644 1 0 0 0 9223372036854775808.0 - - -'],
    ['ERR_DUMPFILE_VALUE', 'content of another size', '/f 2 100644 1 0 0 0 0.0 - abc -'],
    ['ERR_DUMPFILE_VALUE', 'content of another size on a symlink', '/f 1 120777 1 0 0 0 0.0 t abc -'],
    ['ERR_DUMPFILE_VALUE', 'no content for a size', '/f 2 100644 1 0 0 0 0.0'],
    ['ERR_DUMPFILE_VALUE', 'NUL in the payload', '/f 2 100644 1 0 0 0 0.0 a\\x00 - -'],
    ['ERR_DUMPFILE_VALUE', 'NUL in the name of an xattr', `${file} a\\x00b=1`],
    ['ERR_DUMPFILE_VALUE', 'a long name of an xattr', `${file} ${'a'.repeat(256)}=1`],
    ['ERR_DIGEST_SYNTAX', 'a short digest', `/f 2 100644 1 0 0 0 0.0 - - ${hex.slice(1)}`],
    ['ERR_DIGEST_SYNTAX', 'a digest that is not hex', `/f 2 100644 1 0 0 0 0.0 - - ${hex.slice(1)}g`],
    ['ERR_DIGEST_SYNTAX', 'a bad digest without use', '/f 0 40755 1 0 0 0 0.0 - - 12'],
    ['ERR_DIGEST_SYNTAX', 'no digest where it counts', `/f 2 100644 1 0 0 0 0.0 ${object} -`],
    ['ERR_PATH_INVALID', 'NUL in the path', '/f\\x00g 0 100644 1 0 0 0 0.0 - - -'],
    ['ERR_HARDLINK_TARGET', 'a link without target', '/f 0 @100644 - - - - 0.0 - - -'],
    ['ERR_HARDLINK_TARGET', 'a link that ends early', '/f 0 @100644'],
    ['ERR_HARDLINK_TARGET', 'NUL in the target of a link', '/f 0 @100644 - - - - 0.0 /\\x00 - -'],
    ['ERR_LIMIT', 'a long payload', `/f 0 10644 1 0 0 0 0.0 ${'p'.repeat(4096)} - -`],
    ['ERR_LIMIT', 'long content', `/f 5001 10644 1 0 0 0 0.0 - ${'c'.repeat(5001)} -`],
    ['ERR_LIMIT', 'large xattrs', `${file} a=${'v'.repeat(16000)} b=${'v'.repeat(16740)}`],
    ['ERR_LIMIT', 'long text of xattrs', `${file} a=${'\\x41'.repeat(16384)}`],
  ])('%s: %s', (code, _, lines) => {
    const error = failure(`${root}${lines}\n`)
    expect(error.code).toBe(code)
    expect(error.message).toMatch(/^line [23]: /)
  })

  // The file names of the C project's own tests (spec: dumpfile, section 6).
  test.each([
    ['big-inline', 'ERR_LIMIT', `/inlinebig 5004 100755 1 0 0 0 0.0 - ${'i'.repeat(5004)} -`],
    ['dir-hardlink', 'ERR_HARDLINK_TARGET', '/rootlink 4096 @40555 2 0 0 0 0.0 / - -'],
    ['dot-name', 'ERR_PATH_INVALID', '/. 4096 40555 2 0 0 0 0.0 - - -'],
    ['dotdot-name', 'ERR_PATH_INVALID', '/.. 4096 40555 2 0 0 0 0.0 - - -'],
    ['empty-name', 'ERR_PATH_INVALID', '// 4096 40555 2 0 0 0 0.0 - - -'],
    ['empty-link-name', 'ERR_SYMLINK_TARGET', '/nolinkname 0 120777 1 0 0 0 0.0 - - -'],
    ['empty-xattr-key', 'ERR_DUMPFILE_VALUE', '/x 0 100644 1 0 0 0 0.0 - - - =somevalue'],
    ['long-link', 'ERR_SYMLINK_TARGET', `/link 0 120777 1 0 0 0 0.0 ${'t'.repeat(7248)} - -`],
    ['long-xattr-key', 'ERR_LIMIT', `/longxattr 0 100644 1 0 0 0 0.0 - - - user.${'k'.repeat(123000)}=v`],
    ['long-xattr-value', 'ERR_DUMPFILE_VALUE', `/longxattr 0 644 1 0 0 0 0.0 - - - user.v=${'v'.repeat(123000)}`],
    ['no-ftype', 'ERR_DUMPFILE_VALUE', '/noftype 3 0 1 0 0 0 0.0 foo - -'],
    ['self-hardlink', 'ERR_HARDLINK_TARGET', '/037blockdev 0 @63340777 2 0 0 0 0.0 /037blockdev - -'],
    ['too-big', 'ERR_DUMPFILE_VALUE', '/bigfile 9500000000000000 100777 1 0 0 0 0.0 - - -'],
  ])('should-fail-%s: %s', (_, code, line) => expect(failure(`${root}${line}\n`).code).toBe(code))

  test('should-fail-honggfuzz-long-xattr: ERR_LIMIT', () => {
    expect(failure(`${root.trimEnd()} trusted.foo1=${'x'.repeat(33000)}\n`).code).toBe('ERR_LIMIT')
  })

  test('messages name the line and its path', () => {
    const error = failure(`${root}/a\\x20b 0 644 1 0 0 0 0.0 - - -\n`)
    expect(error.path).toBe('/a b')
    expect(error.message).toMatch(/^line 2: .*: \/a b — /)
  })

  test('NUL is found where it is', () => {
    expect(failure(`${root}/f 0\0`).message).toContain('line 2: NUL byte at column 5')
  })
})

describe('strict', () => {
  const strict = { strict: true }
  const lines = {
    'a device number on the root': '/ 0 40755 2 0 0 10 0.0 - - -\n',
    'no newline at the end': root.trimEnd(),
    'the size of a symlink': `${root}/l 5 120777 1 0 0 0 0.0 t - -\n`,
    'content of a symlink': `${root}/l 1 120777 1 0 0 0 0.0 t x -\n`,
  }
  test.each(Object.entries(lines))('%s is refused only then', (_, text) => {
    expect(readDumpfile(latin1(text)).root.kind).toBe('directory')
    expect(failure(text, strict).code).toMatch(/^ERR_DUMPFILE_/)
  })

  test('what is right passes', () => {
    const text = `${root}/c 0 20644 1 0 0 5 0.0 - - -\n/l 1 120777 1 0 0 0 0.0 t - -\n`
    expect(readDumpfile(latin1(text), strict).root.entries.size).toBe(2)
  })
})

describe('lines and chunks', () => {
  test('the length of a line is limited', () => {
    const options = { maxLineLength: 50 }
    const line = (length: number) => `${root}/f 0 100644 1 0 0 0 0.0 ${'p'.repeat(length - 28)} - -`
    expect(readDumpfile(latin1(`${line(50)}\n`), options).get('/f')?.kind).toBe('leaf')
    expect(readDumpfile(latin1(line(50)), options).get('/f')?.kind).toBe('leaf')
    expect(failure(`${line(51)}\n`, options)).toMatchObject({ code: 'ERR_LIMIT' })
    expect(failure(line(51), options)).toMatchObject({ code: 'ERR_LIMIT' })
  })

  test('a line without end is refused before it is kept', () => {
    const machine = new DumpfileReaderMachine({ maxLineLength: 1000 })
    const push = () => machine.push(Buffer.alloc(100, 'a'), () => {})
    for (let i = 0; i < 10; i++) push()
    expect(push).toThrow(/line 1 is longer than 1000 bytes/)
  })

  test('nothing is kept as a view of a chunk', () => {
    const text = latin1(
      `${root}/a\\n 3 100644 1 0 0 0 0.0 - abc - user.x=\\x00yz\n/l 4 120777 1 0 0 0 0.0 long-target - -\n`,
    )
    const expected: DumpRecord[] = []
    new DumpfileReaderMachine().push(text, (record) => expected.push(record))
    const records: DumpRecord[] = []
    const machine = new DumpfileReaderMachine()
    for (const chunk of cut(text, [7, 40])) {
      machine.push(chunk, (record) => records.push(record))
      chunk.fill(0xee)
    }
    expect(records).toEqual(expected)
    expect(records).toHaveLength(3)
  })

  test('as a stream, with the numbers of the lines', async () => {
    const text = latin1(`${root}/f 0 100644 1 0 0 0 0.0\n/l 0 @120000 - - - - 0.0 /f - -`)
    const records: DumpRecord[] = await Readable.from(cut(text, [5]))
      .pipe(new DumpfileReader())
      .toArray()
    expect(records.map(({ kind, path, line }) => [kind, path, line])).toEqual([
      ['inode', '/', 1],
      ['inode', '/f', 2],
      ['link', '/l', 3],
    ])
    expect(records[2]).toHaveProperty('target', fromLatin1('/f'))
  })

  test('an error destroys the stream', async () => {
    const reader = Readable.from([latin1('nonsense\n')]).pipe(new DumpfileReader())
    await expect(reader.toArray()).rejects.toMatchObject({ code: 'ERR_DUMPFILE_SYNTAX' })
  })

  test('equal xattrs are one value', () => {
    const fileSystem = readDumpfile(
      latin1(`${root}/a 0 40755 1 0 0 0 0.0 - - - a=1\n/b 0 40755 1 0 0 0 1.0 - - - a=1\n`),
    )
    expect(fileSystem.get('/a')?.stat.xattrs).toBe(fileSystem.get('/b')?.stat.xattrs)
  })
})

test('a text that comes in pieces gives the same tree, and an error of its source', async () => {
  const text = latin1(`${root}/f 2 100644 1 0 0 0 0.0 - hi -\n/g 0 @120000 - - - - 0.0 /f - -\n`)
  const whole = readDumpfile(text)
  const pieces = await readDumpfileFrom(Readable.from(cut(text, [7])))
  expect(pieces.get('/g')).toBe(pieces.get('/f'))
  expect(pieces).toEqual(whole)
  const broken = (async function* () {
    yield text
    throw new Error('broken off')
  })()
  await expect(readDumpfileFrom(broken)).rejects.toThrow('broken off')
})

test('backslashes are found in whichever line they are', () => {
  const line = (name: string, payload: string) => `/${name} 1 120777 1 0 0 0 0.0 ${payload} - -\n`
  const names = Array.from({ length: 50 }, (_, i) => `n${i}`)
  const text = names.map((name, i) => line(name, i % 7 === 3 ? 'a\\\\b' : 'ab')).join('')
  const tree = readDumpfile(latin1(root + text))
  names.forEach((name, i) => {
    expect(tree.get(name)).toMatchObject({ content: { target: i % 7 === 3 ? 'a\\b' : 'ab' } })
  })
})
