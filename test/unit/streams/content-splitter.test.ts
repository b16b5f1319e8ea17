import { describe, expect, test } from 'vitest'
import { ContentSplitter, ContentSplitterMachine } from '../../../src/streams/content-splitter.ts'
import type { EntryRecord, SplitRecord } from '../../../src/streams/records.ts'
import { chunkings } from '../../support/chunks.ts'
import { entry, entryMachine, header, join, joined, pax, run, splitMachine, tar } from '../../support/tar.ts'

function outline(records: SplitRecord[]): string[] {
  return records.map((record) => {
    if (record.kind === 'inline') return `inline ${record.bytes.length}`
    if (record.kind === 'external-open') return `open ${record.size}`
    if (record.kind === 'external-data') return `data ${record.chunk.length}`
    if (record.kind === 'entry') return `entry ${record.entry.path} ${record.body?.toString() ?? '-'}`
    return 'close'
  })
}

const split = (bytes: Buffer): SplitRecord[] => joined(splitMachine(), [bytes])

test('files above 64 bytes become external', () => {
  const bytes = tar(
    entry({ name: 'empty' }),
    entry({ name: 'small' }, 's'.repeat(64)),
    entry({ name: 'large' }, 'l'.repeat(65)),
    entry({ name: 'full' }, 'f'.repeat(1024)),
  )
  expect(outline(split(bytes))).toEqual([
    'inline 512',
    'entry empty ',
    'inline 1024',
    `entry small ${'s'.repeat(64)}`,
    'inline 512',
    'open 65',
    'data 65',
    'close',
    'inline 447',
    'entry large -',
    'inline 512',
    'open 1024',
    'data 1024',
    'close',
    'entry full -',
    'inline 1024',
  ])
})

test('what is no file stays inline, with its body', () => {
  const bytes = tar(
    entry({ name: 'd', type: '5' }, 'b'.repeat(600)),
    entry({ name: 'v', type: 'V' }, 'b'.repeat(600)),
    pax({ path: 'l' }),
    header({ type: '2' }),
  )
  expect(outline(split(bytes))).toEqual([
    'inline 1536',
    'entry d -',
    'inline 1536',
    'entry v -',
    'inline 1536',
    'entry l -',
    'inline 1024',
  ])
})

test('the records are the same however the input is cut', () => {
  const bytes = tar(
    pax({ path: 'x' }),
    entry({}, 'abc'),
    entry({ name: 'y' }, 'y'.repeat(3000)),
    entry({ type: '5' }, 'z'),
  )
  const whole = split(bytes)
  for (const chunks of chunkings(bytes)) expect(joined(splitMachine(), chunks)).toEqual(whole)
})

test('the body of an entry is a copy', () => {
  const bytes = tar(entry({ name: 'a' }, 'aaa'), entry({ name: 'b' }, 'bbb'))
  const records = run(splitMachine(), [bytes])
  bytes.fill(0xa5)
  expect(outline(records).filter((line) => line.startsWith('entry'))).toEqual(['entry a aaa', 'entry b bbb'])
})

test('the limit can be another', () => {
  const splitter = join(entryMachine(), new ContentSplitterMachine({ inlineLimit: 0 }))
  expect(outline(joined(splitter, [entry({ name: 'a' }, 'a')])).slice(1, 4)).toEqual(['open 1', 'data 1', 'close'])
  for (const inlineLimit of [-1, 1.5, Number.NaN, 2 ** 21]) {
    expect(() => new ContentSplitterMachine({ inlineLimit })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  }
})

describe('records in an order that no parser produces', () => {
  const [head, data, end, trailer] = run(entryMachine(), [tar(entry({}, 'a'.repeat(100)))])

  test.each([
    ['data first', [data]],
    ['end first', [end]],
    ['too little data', [head, end]],
    ['too much data', [head, data, data]],
    ['an entry in a body', [head, head]],
    ['a trailer in a body', [head, data, trailer]],
    ['no end', [head, data]],
  ])('%s', (_, records) => {
    expect(() => run(new ContentSplitterMachine(), records as EntryRecord[])).toThrow(
      expect.objectContaining({ code: 'ERR_STREAM_ORDER', stage: 'ContentSplitter' }),
    )
  })

  test('a scanned directory has neither raw bytes nor padding', () => {
    const { entry } = head as EntryRecord & { kind: 'entry' }
    const records: EntryRecord[] = [{ kind: 'entry', entry, raw: [] }, data!, { kind: 'end', padding: Buffer.alloc(0) }]
    expect(outline(run(new ContentSplitterMachine(), records))).toEqual(['open 100', 'data 100', 'close', 'entry f -'])
  })
})

test('ContentSplitter is a Transform', async () => {
  const splitter = new ContentSplitter({ inlineLimit: 64 })
  for (const record of run(entryMachine(), [tar(entry({ name: 'a' }, 'a'))])) splitter.write(record)
  splitter.end()
  expect(outline(await splitter.toArray())).toContain('entry a a')
})
