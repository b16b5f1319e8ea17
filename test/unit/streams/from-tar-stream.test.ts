import { Readable } from 'node:stream'
import { extract, pack } from 'tar-stream'
import { describe, expect, test } from 'vitest'
import { fromTarStream } from '../../../src/streams/from-tar-stream.ts'
import type { EntryRecord } from '../../../src/streams/records.ts'
import { cut } from '../../support/chunks.ts'
import { bytesOfRecords, entry, entryMachine, gnuLong, header, joined, pax, tar } from '../../support/tar.ts'

function records(bytes: Buffer): Promise<EntryRecord[]> {
  const extractor = extract()
  Readable.from(cut(bytes, [1000])).pipe(extractor)
  return fromTarStream(extractor).toArray()
}

const entriesOf = (list: EntryRecord[]) =>
  list.flatMap((record) => {
    if (record.kind !== 'entry') return []
    const { offset, typeflag, xattrs, ...rest } = record.entry
    return [{ ...rest, xattrs: [...xattrs] }]
  })

const bytes = tar(
  entry({ name: 'd/', type: '5', mode: 0o755 }),
  pax({ mtime: '-1.5', uid: '3000000', 'SCHILY.xattr.user.a': 'b\n=', path: 'd/\xc3\xa9' }),
  entry({ name: 'x', uid: 1, gid: 2 }, 'contents'.repeat(100)),
  gnuLong('L', `${'long/'.repeat(30)}\0`),
  gnuLong('K', `${'target/'.repeat(30)}\0`),
  header({ type: '2' }),
  header({ name: 'h', type: '1', linkName: 'd/\xc3\xa9' }),
  header({ name: 'n', type: '3', major: 1, minor: 3, mtime: 1_700_000_000 }),
  header({ name: 'p', type: '6' }),
)

test('gives the entries that TarDecoder and PaxParser give', async () => {
  const ours = joined(entryMachine(), [bytes])
  expect(entriesOf(await records(bytes))).toEqual(
    entriesOf(ours).map((entry) => ({ ...entry, path: entry.path, linkTarget: entry.linkTarget })),
  )
})

test('its raw bytes are a tar with the same entries', async () => {
  const list = await records(bytes)
  const again = joined(entryMachine({ strict: true }), [bytesOfRecords(list)])
  expect(entriesOf(again)).toEqual(entriesOf(list))
  expect(again.flatMap((r) => (r.kind === 'entry' ? [r.entry.offset] : []))).toEqual(
    list.flatMap((r) => (r.kind === 'entry' ? [r.entry.offset] : [])),
  )
})

test('takes what tar-stream packs', async () => {
  const packer = pack()
  packer.entry({ name: 'a', mtime: new Date(1500) }, 'abc')
  packer.finalize()
  const extractor = extract()
  packer.pipe(extractor)
  expect(await fromTarStream(extractor).toArray()).toMatchObject([
    { kind: 'entry', entry: { path: 'a', type: 'file', size: 3, mtime: 1, mtimeNsec: 0 } },
    { kind: 'data', chunk: Buffer.from('abc') },
    { kind: 'end', padding: Buffer.alloc(509) },
    { kind: 'trailer', bytes: Buffer.alloc(1024) },
  ])
})

describe('refuses', () => {
  test.each([
    ['a name', tar(header({ name: 'a\xff' }))],
    ['a target', tar(header({ type: '2', linkName: '\xff' }))],
    ['an xattr', tar(pax({ 'SCHILY.xattr.user.a': '\xff' }), header({}))],
  ])('%s of which bytes were lost', async (_, input) => {
    await expect(records(input)).rejects.toMatchObject({ code: 'ERR_PAX_VALUE' })
  })

  test('an empty name, and types that no tar can hold', async () => {
    await expect(records(tar(header({ name: '' })))).rejects.toMatchObject({ code: 'ERR_TAR_NAME' })
    await expect(records(tar(header({ type: 'V' })))).rejects.toMatchObject({ code: 'ERR_TAR_TYPE' })
  })

  test('an archive that is cut off', async () => {
    await expect(records(bytes.subarray(0, 3000))).rejects.toThrow()
  })

  test('an extractor that was closed before its end', async () => {
    const extractor = extract()
    const list = fromTarStream(extractor).toArray()
    extractor.write(bytes.subarray(0, 512))
    setImmediate(() => extractor.destroy())
    await expect(list).rejects.toMatchObject({ code: 'ERR_TAR_TRUNCATED' })
  })
})

test('leaving early destroys the extractor', async () => {
  const extractor = extract()
  Readable.from(cut(bytes, [1000])).pipe(extractor)
  for await (const _ of fromTarStream(extractor)) break
  expect(extractor.destroyed).toBe(true)
})
