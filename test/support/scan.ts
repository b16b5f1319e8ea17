import type { Entry, EntryRecord } from '../../src/streams/records.ts'

/** An entry, with its body where it has one. */
export interface Scanned {
  readonly entry: Entry
  readonly body: Buffer
}

/** The entries of records, with their bodies. */
export function gather(records: Iterable<EntryRecord>): Scanned[] {
  const scanned: { entry: Entry; body: Buffer }[] = []
  for (const record of records) {
    if (record.kind === 'entry') scanned.push({ entry: record.entry, body: Buffer.alloc(0) })
    else if (record.kind === 'data') {
      const last = scanned.at(-1)!
      last.body = Buffer.concat([last.body, record.chunk])
    }
  }
  return scanned
}

/** Pulls records up to and with the entry of this path. */
export function pullTo(records: Iterator<EntryRecord>, path: string): void {
  for (;;) {
    const { done, value } = records.next()
    if (done === true) throw new Error(`there is no ${path}`)
    if (value.kind === 'entry' && value.entry.path === path) return
  }
}

/** Pulls the rest. */
export function drain(records: Iterator<EntryRecord>): void {
  while (records.next().done !== true);
}
