/**
 * Dumpfiles of the reference tools: all are read, and what cfsctl printed comes out the same again.
 */
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fsverityDigest } from '../../../src/fsverity/merkle.ts'
import { readDumpfile } from '../../../src/streams/dumpfile-reader.ts'
import { DumpfileWriterMachine, dumpfileText } from '../../../src/streams/dumpfile-writer.ts'
import type { SplitRecord, StoredRecord } from '../../../src/streams/records.ts'
import { shared } from '../../support/shared.ts'
import { run, splitMachine } from '../../support/tar.ts'

describe.skipIf(!shared.available)('dumpfiles of composefs-info', () => {
  const names = shared.available ? readdirSync(shared.path('vectors/dumps')) : []

  test('there are some', () => expect(names).toHaveLength(12))

  test.each(names)('%s', (name) => {
    const text = shared.bytes(`vectors/dumps/${name}`)
    const fileSystem = readDumpfile(text)
    const lines = text.toString('latin1').trimEnd().split('\n')
    expect([...fileSystem.walk()]).toHaveLength(lines.length)
    // What composefs-info prints otherwise: sizes of directories, order of xattrs, and links with all columns.
    const comparable = (line: string) => {
      const [path, size, mode, nlink, uid, gid, rdev, time, payload, content, digest, ...xattrs] = line.split(' ')
      if (mode!.startsWith('@')) return [path, '@', payload].join(' ')
      const exact = mode!.startsWith('4') && mode!.length === 5 ? '0' : size
      return [path, exact, mode, nlink, uid, gid, rdev, time, payload, content, digest, ...xattrs.sort()].join(' ')
    }
    const written = dumpfileText(fileSystem).toString('latin1').trimEnd().split('\n')
    expect(written.map(comparable)).toEqual(lines.map(comparable))
  })
})

describe.skipIf(!shared.available).each(['oci-images', 'oci-images-more', 'splitstreams'])(
  'dumpfiles in %s',
  (file) => {
    const images: unknown = shared.available ? shared.json(`vectors/${file}.json`) : {}
    const found: [string, string][] = []
    collect(images, '', found)

    test('there are some', () => expect(found.length).toBeGreaterThan(10))

    test.each(found)('%s comes out as it went in', (_, text) => {
      const bytes = Buffer.from(text, 'latin1')
      expect(dumpfileText(readDumpfile(bytes)).toString('latin1')).toBe(text)
    })
  },
)

/** Every text that is a whole dumpfile, wherever it stands; those that were observed, but are wrong, left out. */
function collect(value: unknown, path: string, found: [string, string][]): void {
  if (typeof value !== 'object' || value === null) return
  for (const [key, item] of Object.entries(value)) {
    if (key.startsWith('observed')) continue
    if (key.endsWith('dumpfile') && typeof item === 'string' && item.startsWith('/ '))
      found.push([`${path}${key}`, item])
    else collect(item, `${path}${key}.`, found)
  }
}

/** Layers that ours refuses, and the reference reads wrongly. */
const refused = new Set(['name-pax-nul', 'pax-uid-33-bits', 'sparse-pax-1.0-no-map'])

interface Layer {
  read?: { outcome: string; entries?: string }
  sha256?: { layer_dumpfile?: string }
}

/** What the reference prints, and what is right. */
const wrong: Record<string, readonly [string, string]> = {
  // The old way to say directory, which it takes for an empty file.
  v7: ['/usr/dirslash 0 100755', '/usr/dirslash 0 40755'],
  // The magic is ustar's, whatever the version; it loses the prefix.
  'magic-odd-version': ['/t/a 1', '/pre/t/a 1'],
}

describe.skipIf(!shared.available).each([
  ['layers', 'layers'],
  ['splitstreams', 'layers-more'],
])('entries in %s', (file, folder) => {
  const layers: Record<string, Layer> = shared.available ? shared.json(`vectors/${file}.json`) : {}
  const texts = Object.entries(layers).flatMap(([name, { read, sha256 }]): [string, string][] => {
    const text = read?.outcome === 'accept' ? read.entries : sha256?.layer_dumpfile
    return text === undefined || refused.has(name) ? [] : [[name, text]]
  })

  test('there are some', () => expect(texts.length).toBeGreaterThan(20))

  test.each(texts)('%s', (name, text) => {
    const records = run(splitMachine(), [shared.bytes(`vectors/${folder}/${name}.tar`)])
    const right = text.replace(...(wrong[name] ?? (['', ''] as const)))
    expect(Buffer.concat(run(new DumpfileWriterMachine(), stored(records))).toString('latin1')).toBe(right)
  })
})

/** What an object writer makes of the records. */
function* stored(records: readonly SplitRecord[]): Generator<StoredRecord> {
  let body: Buffer[] = []
  for (const record of records) {
    if (record.kind === 'external-open') body = []
    else if (record.kind === 'external-data') body.push(record.chunk)
    else if (record.kind === 'inline') yield record
    else if (record.kind === 'entry') {
      const { entry } = record
      const bytes = Buffer.concat(body)
      if (entry.type !== 'file') yield { kind: 'entry', entry, content: { type: 'none' } }
      else if (record.body !== undefined)
        yield { kind: 'entry', entry, content: { type: 'inline', bytes: record.body } }
      else {
        const id = fsverityDigest('sha256', bytes)
        yield { kind: 'entry', entry, content: { type: 'external', id, size: bytes.length } }
      }
    }
  }
}
