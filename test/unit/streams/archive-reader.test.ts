import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { ComposefsError } from '../../../src/errors.ts'
import {
  ArchiveReader,
  ArchiveReaderMachine,
  type ArchiveReaderOptions,
  type ArchiveRecord,
  Decompressor,
} from '../../../src/streams/index.ts'
import { encodeZstd } from '../../../src/streams/zstd-encoder.ts'
import { chunkings, cut } from '../../support/chunks.ts'
import {
  type ArchiveMember,
  archive,
  blobName,
  digestOf,
  dockerMembers,
  imageOf,
  ociMembers,
} from '../../support/image-archive.ts'
import { entry, feed, tar } from '../../support/tar.ts'

interface Read {
  readonly name: string
  readonly content?: string
  readonly compression?: string
  readonly bytes?: string
  readonly link?: string
}

/** Members with their bytes put together; every input chunk is overwritten once it was taken. */
function read(chunks: readonly Buffer[], options: ArchiveReaderOptions = {}): Read[] {
  const members: { record: ArchiveRecord; bytes: Buffer[]; ended: boolean }[] = []
  const machine = new ArchiveReaderMachine(options)
  function* poisoned(): Generator<Buffer> {
    for (const chunk of chunks) {
      const copy = Buffer.from(chunk)
      yield copy
      copy.fill(0xee)
    }
  }
  feed(machine, poisoned(), (record) => {
    const last = members.at(-1)
    if (record.kind === 'data') {
      expect(last?.ended).toBe(false)
      expect(record.chunk.length).toBeGreaterThan(0)
      last!.bytes.push(Buffer.from(record.chunk))
    } else if (record.kind === 'end') {
      expect(last?.ended).toBe(false)
      last!.ended = true
    } else {
      expect(last?.ended ?? true).toBe(true)
      members.push({ record, bytes: [], ended: record.kind === 'link' })
    }
  })
  return members.map(({ record, bytes, ended }) => {
    expect(ended).toBe(true)
    if (record.kind === 'link') return { name: record.name, link: record.target }
    const { name, content, compression, size } = record as ArchiveRecord & { kind: 'member' }
    const all = Buffer.concat(bytes)
    expect(all).toHaveLength(size)
    return { name, content, compression, bytes: digestOf(all) }
  })
}

function code(bytes: Buffer): string | undefined {
  for (const chunks of [[bytes], cut(bytes, [1]), cut(bytes, [100])]) {
    try {
      read(chunks)
    } catch (error) {
      if (!(error instanceof ComposefsError)) throw error
      if (chunks.length > 1 || bytes.length < 2) return error.code
      continue
    }
    return undefined
  }
  return undefined
}

const member = (name: string, body: Buffer | string, content: string, compression = 'none'): Read => ({
  name,
  content,
  compression,
  bytes: digestOf(Buffer.from(body as string)),
})

const layer = tar(entry({ name: 'usr/', type: '5' }), entry({ name: 'usr/f' }, 'x'.repeat(3000)))

describe('members', () => {
  const members: (ArchiveMember & { content: string; compression?: string })[] = [
    { name: 'plain.tar', body: layer, content: 'layer' },
    { name: 'empty.tar', body: Buffer.alloc(1024), content: 'layer' },
    { name: 'gzip', body: gzipSync(layer), content: 'layer', compression: 'gzip' },
    { name: 'zstd', body: encodeZstd(layer), content: 'layer', compression: 'zstd' },
    { name: 'xz', body: Buffer.from('fd377a585a000004ffff', 'hex'), content: 'layer', compression: 'xz' },
    { name: 'bzip2', body: 'BZh91AY&SYabcdef', content: 'layer', compression: 'bzip2' },
    { name: 'object.json', body: '{"a":1}', content: 'json' },
    { name: 'array.json', body: '\n\t [1]', content: 'json' },
    { name: 'VERSION', body: '1.0', content: 'blob' },
    { name: 'random', body: Buffer.alloc(5000, 'abc'), content: 'blob' },
    { name: 'nothing', body: '', content: 'layer' },
  ]

  test('are told apart by their first bytes, however the input is cut', () => {
    const wanted = members.map(({ name, body = '', content, compression }) => member(name, body, content, compression))
    for (const chunks of chunkings(archive(members))) expect(read(chunks)).toEqual(wanted)
  })

  test('a tar whose first name looks like JSON is a layer', () => {
    for (const name of ['{', '[', ' {"a":1}']) {
      const body = tar(entry({ name }, 'contents'))
      expect(read([archive([{ name: 'layer.tar', body }])])).toEqual([member('layer.tar', body, 'layer')])
    }
  })

  test('JSON that is too large is a blob', () => {
    const body = `{"a":"${'x'.repeat(1000)}"}`
    const bytes = archive([{ name: 'a.json', body }])
    expect(read([bytes], { maxJson: body.length })).toEqual([member('a.json', body, 'json')])
    expect(read([bytes], { maxJson: body.length - 1 })).toEqual([member('a.json', body, 'blob')])
  })

  test('a damaged tar is a blob', () => {
    const body = Buffer.from(layer)
    body[0]! ^= 1
    expect(read([archive([{ name: 'layer.tar', body }])])).toEqual([member('layer.tar', body, 'blob')])
  })

  test('names are normalised, and are bytes', () => {
    const bytes = archive([
      { name: './index.json', body: '{}' },
      { name: '/a//b/./c', body: 'x' },
      { name: '\xff', body: 'x' },
    ])
    expect(read([bytes]).map(({ name }) => name)).toEqual(['index.json', 'a/b/c', '\xff'])
  })

  test('directories and other types are passed over', () => {
    const bytes = archive([
      { name: 'blobs/', fields: { type: '5' } },
      { name: 'fifo', fields: { type: '6' } },
      { name: 'odd', body: 'a body', fields: { type: '5' } },
      { name: 'a', body: '{}' },
    ])
    expect(read([bytes])).toEqual([member('a', '{}', 'json')])
  })
})

describe('links', () => {
  const link = (name: string, type: string, linkName: string) => archive([{ name, fields: { type, linkName } }])

  test.each([
    ['a/layer.tar', '2', '../b.tar', 'b.tar'],
    ['a/layer.tar', '2', 'b.tar', 'a/b.tar'],
    ['a/b/c', '2', '.././d//e', 'a/d/e'],
    ['a/layer.tar', '2', '/b.tar', 'b.tar'],
    ['a/layer.tar', '1', 'b/layer.tar', 'b/layer.tar'],
    ['a/layer.tar', '1', './b.tar', 'b.tar'],
  ])('%s of type %s to %s', (name, type, linkName, target) => {
    expect(read([link(name, type, linkName)])).toEqual([{ name, link: target }])
  })

  test('that lead outside are refused', () => {
    expect(code(link('a/b', '2', '../../c'))).toBe('ERR_PATH_INVALID')
    expect(code(link('a', '2', '..'))).toBe('ERR_PATH_INVALID')
  })
})

describe('the order and the layout of members do not matter', () => {
  const image = imageOf([layer])
  const inOrder = [
    ['oci-archive', ociMembers(image)],
    ['docker-archive of skopeo', dockerMembers(image.config, [layer], ['x:1'])],
    [
      'docker save before 25',
      [
        { name: 'abc/', fields: { type: '5' } },
        { name: 'abc/VERSION', body: '1.0' },
        { name: 'abc/json', body: '{"id":"abc"}' },
        { name: 'abc/layer.tar', body: layer },
        { name: 'config.json', body: image.config },
        { name: 'manifest.json', body: '[{"Config":"config.json","Layers":["abc/layer.tar"]}]' },
        { name: 'repositories', body: '{"x":{"1":"abc"}}' },
      ],
    ],
    ['docker save since 25', [...ociMembers(image), { name: 'manifest.json', body: '[{"Config":"blobs/sha256/1"}]' }]],
  ] as const

  test.each(inOrder)('%s', (_, members) => {
    const forwards = read([archive(members)])
    const backwards = read([archive([...members].reverse())])
    expect(backwards).toEqual([...forwards].reverse())
    expect(forwards.filter(({ content }) => content === 'layer')).toEqual([
      expect.objectContaining({ bytes: digestOf(layer) }),
    ])
    for (const chunks of chunkings(archive(members))) expect(read(chunks)).toEqual(forwards)
  })

  test('blobs keep their names', () => {
    expect(read([archive(ociMembers(image))]).map(({ name }) => name)).toContain(blobName(digestOf(layer)))
  })
})

describe('input that is no archive', () => {
  const refused = (bytes: Buffer | string) => {
    for (const chunks of [[Buffer.from(bytes as string)], cut(Buffer.from(bytes as string), [7])]) {
      try {
        read(chunks)
      } catch (error) {
        if (chunks.length === 1 && bytes.length > 7) continue
        return error as ComposefsError
      }
    }
    return undefined
  }

  test.each([
    'Getting image source signatures\nCopying blob sha256:abc\n',
    'Copying blob 5f70bf18a086 done\n',
    'Copying config sha256:…',
    'Writing manifest to image destination\n',
    'Trying to pull docker.io/library/alpine:latest...\n',
  ])('progress text: %j', (text) => {
    const progress = {
      code: 'ERR_ARCHIVE_PROGRESS_TEXT',
      offset: 0,
      message: expect.stringMatching(/ — .*skopeo copy -q/),
    }
    expect(refused(text)).toMatchObject(progress)
    expect(refused(Buffer.concat([Buffer.from(text), archive([{ name: 'a', body: '{}' }])]))).toMatchObject(progress)
  })

  test('nothing at all', () => {
    expect(refused('')).toMatchObject({
      code: 'ERR_ARCHIVE_UNKNOWN',
      message: expect.stringMatching(/empty.*before the pipe/),
    })
  })

  test.each([
    ['text', 'this is no archive'],
    ['much text', 'all work and no play\n'.repeat(100)],
    ['JSON', '{"schemaVersion":2}'],
    ['bytes', Buffer.alloc(2000, 0xff)],
    ['less than a block of zeros', Buffer.alloc(100)],
  ])('%s', (_, bytes) => {
    expect(refused(bytes)).toMatchObject({
      code: 'ERR_ARCHIVE_UNKNOWN',
      message: expect.stringMatching(/make one with: skopeo/),
    })
  })

  const at = (offset: number, bytes: string) => {
    const start = Buffer.alloc(0x9000)
    start.write(bytes, offset, 'latin1')
    return start
  }

  test.each<[string, Buffer | string, RegExp]>([
    ['a squashfs image', at(0, 'hsqs'), /a squashfs image/],
    ['a zip file', at(0, 'PK\x03\x04'), /a zip file/],
    ['an ISO image, which begins with zeros', at(0x8001, 'CD001'), /an ISO image/],
    ['an EROFS image', at(0x400, '\xe2\xe1\xf5\xe0'), /an EROFS image/],
    ['an ext4 image', at(0x438, '\x53\xef'), /ext4/],
    ['a disk image', at(0x1fe, '\x55\xaa'), /partitions/],
    ['a qcow2 image', at(0, 'QFI\xfb'), /qcow2/],
    ['a Debian package', '!<arch>\ndebian-binary', /Debian package/],
    ['a web page', '<!DOCTYPE html>\n<html>', /web page/],
    ['a web page in lower case', '\n<html lang="en">', /web page/],
    ['the error of a registry', '{"errors":[{"code":"DENIED"}]}', /registry answered/],
    ['a manifest alone', '{"schemaVersion":2,"config":{}}', /manifest of an image/],
    ['a dumpfile', '/ 4096 40755 2 0 0 0 0.0 - - -\n', /dumpfile/],
    ['the message of a program', 'Error: no such image: typo\nmore', /begins with "Error: no such image: typo"/],
    ['zeros', Buffer.alloc(0x10000), /zeros/],
    ['an archive without members', Buffer.alloc(1024), /zeros/],
  ])('%s is told', (_, bytes, message) => {
    const wanted = { code: 'ERR_ARCHIVE_UNKNOWN', message: expect.stringMatching(message) }
    for (const sizes of [[0x10000], [1000]]) {
      expect(() => read(cut(Buffer.from(bytes as string), sizes))).toThrow(expect.objectContaining(wanted))
    }
  })

  test('zeros without end are refused at their beginning', () => {
    function* zeros(): Generator<Buffer> {
      for (;;) yield Buffer.alloc(4096)
    }
    const machine = new ArchiveReaderMachine()
    expect(() => feed(machine, zeros(), () => {})).toThrow(/zeros/)
  })

  test('an archive that is cut off', () => {
    const bytes = archive([{ name: 'a', body: layer }])
    for (const length of [600, 1024, 2000, 3000]) expect(code(bytes.subarray(0, length))).toBe('ERR_TAR_TRUNCATED')
  })

  test('a header that is damaged later on', () => {
    const bytes = archive([
      { name: 'a', body: 'x' },
      { name: 'b', body: 'y' },
    ])
    bytes[1024]! ^= 1
    expect(code(bytes)).toBe('ERR_TAR_CHECKSUM')
  })

  test('a member outside the archive', () => {
    expect(code(archive([{ name: '../a', body: 'x' }]))).toBe('ERR_PATH_INVALID')
  })
})

describe('as a stage', () => {
  const bytes = archive([
    { name: 'a.json', body: '{}' },
    { name: 'layer.tar', body: layer },
  ])

  test.each([
    ['plain', bytes],
    ['gzip', gzipSync(bytes)],
    ['zstd', encodeZstd(bytes)],
  ])('behind a Decompressor: %s', async (_, input) => {
    const names: string[] = []
    await pipeline(Readable.from(cut(input, [1000])), new Decompressor(), new ArchiveReader(), async (records) => {
      for await (const record of records as AsyncIterable<ArchiveRecord>) {
        if (record.kind === 'member') names.push(`${record.name} ${record.content}`)
      }
    })
    expect(names).toEqual(['a.json json', 'layer.tar layer'])
  })

  test('fails with what the machine says', async () => {
    const reading = pipeline(
      Readable.from([Buffer.from('Getting image source signatures\n')]),
      new ArchiveReader().resume(),
    )
    await expect(reading).rejects.toMatchObject({ code: 'ERR_ARCHIVE_PROGRESS_TEXT' })
  })
})
