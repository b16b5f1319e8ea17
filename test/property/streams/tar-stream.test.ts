/** Another program's reader and writer agree with ours, where they keep what an archive says. */
import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { extract, type Header, pack } from 'tar-stream'
import { describe, expect, test } from 'vitest'
import { toBuffer } from '../../../src/bytes.ts'
import type { EntryRecord } from '../../../src/streams/records.ts'
import { cut } from '../../support/chunks.ts'
import { entry, entryMachine, gnuLong, header, joined, pax, tar } from '../../support/tar.ts'

/** What both keep of an entry. Times and ids are compared only where no PAX record changes them. */
interface Common {
  name: string
  type: string
  mode: number
  uid: number
  gid: number
  size: number
  mtime: number
  target: string
  body: string
}

const typeNames: { [key: string]: string } = { link: 'hardlink', 'contiguous-file': 'file' }

async function theirs(bytes: Buffer): Promise<Common[]> {
  const list: Common[] = []
  const extractor = extract()
  extractor.end(bytes)
  for await (const source of extractor) {
    const { name, type, mode, uid, gid, size, mtime, linkname } = source.header
    const body: Buffer[] = []
    for await (const chunk of source) body.push(chunk as Buffer)
    list.push({
      name,
      type: typeNames[type] ?? type,
      mode,
      uid,
      gid,
      size,
      mtime: mtime.getTime() / 1000,
      target: linkname ?? '',
      body: Buffer.concat(body).toString('latin1'),
    })
  }
  return list
}

function ours(bytes: Buffer): Common[] {
  const list: Common[] = []
  const records: EntryRecord[] = joined(entryMachine(), cut(bytes, [700, 31]))
  for (const record of records) {
    if (record.kind === 'data') list.at(-1)!.body += record.chunk.toString('latin1')
    if (record.kind !== 'entry') continue
    const { path, type, mode, uid, gid, size, mtime, linkTarget } = record.entry
    const text = (bytes: typeof path) => toBuffer(bytes).toString('utf8')
    list.push({
      name: text(path),
      type,
      mode,
      uid,
      gid,
      size,
      mtime: Number(mtime),
      target: text(linkTarget),
      body: '',
    })
  }
  return list
}

const utf8 = (text: string) => Buffer.from(text).toString('latin1')
const segment = fc.stringMatching(/^[a-zäöü€😀 .=-]{1,9}$/u)
const path = fc.oneof(
  segment,
  fc.array(segment, { minLength: 1, maxLength: 30 }).map((parts) => parts.join('/')),
)

describe('tar-stream reads', () => {
  const part = fc
    .record({
      type: fc.constantFrom(...'0123567'),
      magic: fc.constantFrom('ustar\x0000', 'ustar  \0'),
      name: path,
      target: path,
      long: fc.constantFrom('none', 'gnu', 'pax'),
      mode: fc.nat(0o7777),
      uid: fc.nat(0o7777777),
      gid: fc.nat(0o7777777),
      mtime: fc.nat(2 ** 33 - 1),
      body: fc.oneof(fc.constant(0), fc.nat(2000)),
    })
    .map(({ type, magic, name, target, long, mode, uid, gid, mtime, body }) => {
      const isLink = type === '1' || type === '2'
      const hasBody = type === '0' || type === '7'
      const text = Buffer.from(utf8(name), 'latin1')
      // Texts are cut at 100 bytes only where an extension header says the whole.
      const fits = text.length <= 100 && Buffer.byteLength(target) <= 100
      const records = isLink ? { path: utf8(name), linkpath: utf8(target) } : { path: utf8(name) }
      const before =
        long === 'none' && fits
          ? []
          : long === 'gnu'
            ? [gnuLong('L', `${utf8(name)}\0`), ...(isLink ? [gnuLong('K', `${utf8(target)}\0`)] : [])]
            : [pax(records)]
      const fields = { type, magic, name: utf8(name), mode, uid, gid, mtime }
      return Buffer.concat([
        ...before,
        entry(isLink ? { ...fields, linkName: utf8(target) } : fields, hasBody ? Buffer.alloc(body, 'b') : ''),
      ])
    })

  test('what we read', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 6 }), async (parts) => {
        const bytes = tar(...parts)
        expect(ours(bytes)).toEqual(await theirs(bytes))
      }),
    )
  })

  test('sizes that PAX and base-256 say', async () => {
    const base256 = Buffer.alloc(12)
    base256[0] = 0x80
    base256[11] = 3
    const bytes = tar(pax({ size: '3' }), header({ size: 0 }), entry({ name: 'b', size: base256 }, 'abc'))
    const fixed = Buffer.concat([bytes.subarray(0, 1536), Buffer.from('xyz'.padEnd(512, '\0')), bytes.subarray(1536)])
    expect(ours(fixed).map(({ body }) => body)).toEqual(['xyz', 'abc'])
    expect(ours(fixed)).toEqual(await theirs(fixed))
  })
})

describe('tar-stream writes', () => {
  const types = fc.constantFrom('file', 'link', 'symlink', 'directory', 'fifo', 'character-device') as fc.Arbitrary<
    Header['type']
  >

  test('what we read', async () => {
    const file = fc.record({
      type: types,
      name: path.filter((name) => !name.endsWith('/')),
      linkname: path,
      // It takes 0 for no mode.
      mode: fc.integer({ min: 1, max: 0o7777 }),
      uid: fc.nat(0o777777),
      gid: fc.nat(0o777777),
      mtime: fc.nat(2 ** 31 - 1),
      body: fc.string({ maxLength: 600 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(file, { maxLength: 5 }), async (files) => {
        const packer = pack()
        for (const { body, mtime, linkname, ...rest } of files) {
          const isLink = rest.type === 'link' || rest.type === 'symlink'
          const fields = { ...rest, mtime: new Date(mtime * 1000), ...(isLink && { linkname }) }
          packer.entry(fields, rest.type === 'file' ? body : '')
        }
        packer.finalize()
        const expected = files.map((f) => ({
          type: typeNames[f.type] ?? f.type,
          mode: f.mode,
          uid: f.uid,
          gid: f.gid,
          mtime: f.mtime,
          target: f.type === 'link' || f.type === 'symlink' ? f.linkname : '',
          body: f.type === 'file' ? utf8(f.body) : '',
        }))
        const found = ours(await buffer(packer as unknown as AsyncIterable<Buffer>))
        expect(found).toMatchObject(expected)
        expect(found.map(({ name }) => name.replace(/\/$/, ''))).toEqual(files.map(({ name }) => name))
      }),
    )
  })
})
