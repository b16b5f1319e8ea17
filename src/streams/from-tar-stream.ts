/**
 * For those who already hold a `tar-stream` extractor.
 *
 * @packageDocumentation
 */
import { Readable } from 'node:stream'
import { type ByteString, bytesOf, printable, view } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { makedev } from '../tree/inode.ts'
import { Xattrs } from '../tree/xattrs.ts'
import { PaxAttributes } from './pax-attributes.ts'
import type { Entry, EntryRecord, EntryType } from './records.ts'
import { encodeEntry, endBlocks, zeroPadding } from './tar-encoder.ts'

/** What `tar-stream` 3 says about an entry. */
export interface TarStreamHeader {
  readonly name: string
  readonly type?: string | null | undefined
  readonly mode?: number | undefined
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  readonly size?: number | undefined
  readonly mtime?: Date | undefined
  readonly linkname?: string | null | undefined
  readonly devmajor?: number | undefined
  readonly devminor?: number | undefined
  readonly pax?: unknown
}

/** One entry of {@link TarStreamExtract}: a stream of its body, in Buffers. */
export interface TarStreamEntry extends AsyncIterable<unknown> {
  readonly header: TarStreamHeader
}

/** What `extract()` of `tar-stream` returns, as far as it matters here. */
export interface TarStreamExtract extends AsyncIterable<TarStreamEntry> {
  // biome-ignore lint/suspicious/noExplicitAny: the events of two generations of streams
  once(event: string, listener: (...values: any[]) => void): unknown
  destroy?(error?: Error): unknown
}

/**
 * The entries of a `tar-stream` extractor, into which something else writes, as records. They fit where the records of
 * PaxParser do.
 *
 * `tar-stream` gives no raw bytes, so `raw` is made anew: the records are a good tar with these entries, but not the
 * tar that was read, and its digest is another one. Where the digest of a layer matters use TarDecoder and PaxParser.
 * Lost as well: what stood behind the end blocks, and which PAX records were global ones. Bytes that are no UTF-8
 * (names, xattr values) were replaced before they come here; they are refused rather than stored wrongly.
 *
 * Errors: `ERR_PAX_VALUE`, `ERR_TAR_NAME` (no UTF-8, empty), `ERR_TAR_TYPE`, `ERR_TAR_TRUNCATED`; those of `tar-stream`
 * come as they are.
 *
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { fromTarStream } from 'composefs-streams/streams'
 * import { extract } from 'tar-stream'
 *
 * const extractor = extract()
 * createReadStream('layer.tar').pipe(extractor)
 * for await (const record of fromTarStream(extractor)) if (record.kind === 'entry') record.entry.path
 * ```
 */
export function fromTarStream(extract: TarStreamExtract): Readable {
  // An extractor that is destroyed without an error ends its iteration as if the archive were complete.
  const complete = new Promise<boolean>((resolve) => {
    extract.once('finish', () => resolve(true))
    extract.once('close', () => resolve(false))
  })
  const readable = Readable.from(records(extract, complete), { objectMode: true })
  // Returning an iterator waits for the read that is under way: without an end of the archive, for ever.
  const destroy = readable._destroy.bind(readable)
  readable._destroy = (error, callback) => {
    extract.destroy?.(error ?? undefined)
    destroy(error, callback)
  }
  return readable
}

async function* records(extract: TarStreamExtract, complete: Promise<boolean>): AsyncGenerator<EntryRecord> {
  let offset = 0
  for await (const source of extract) {
    const entry = entryOf(source.header, offset)
    const raw = encodeEntry(entry)
    const padding = zeroPadding(entry.size)
    yield { kind: 'entry', entry, raw: [raw] }
    for await (const chunk of source) {
      yield { kind: 'data', chunk: view(chunk as Uint8Array) }
    }
    yield { kind: 'end', padding }
    offset += raw.length + entry.size + padding.length
  }
  if (!(await complete)) {
    throw new ComposefsError('ERR_TAR_TRUNCATED', 'the tar-stream extractor was closed before its end', { offset })
  }
  yield { kind: 'trailer', bytes: endBlocks() }
}

const types: { readonly [key: string]: EntryType } = {
  file: 'file',
  'contiguous-file': 'file',
  link: 'hardlink',
  symlink: 'symlink',
  'character-device': 'character-device',
  'block-device': 'block-device',
  directory: 'directory',
  fifo: 'fifo',
}

function entryOf(header: TarStreamHeader, offset: number): Entry {
  const path = faithful(header.name, 'a name', header)
  if (path === '') throw new ComposefsError('ERR_TAR_NAME', 'an entry has an empty name', { offset })
  const pax = new PaxAttributes()
  for (const [key, value] of Object.entries((header.pax ?? {}) as { readonly [key: string]: string })) {
    const bytes = Buffer.from(faithful(value, `the PAX record ${key}`, header), 'latin1')
    pax.add({ key: bytesOf(key), value: bytes, offset })
  }
  const type = types[header.type ?? ''] ?? 'unsupported'
  const isLink = type === 'hardlink' || type === 'symlink'
  const isDevice = type === 'character-device' || type === 'block-device'
  return {
    path,
    type,
    typeflag: 0,
    mode: (header.mode ?? 0) & 0o7777,
    uid: pax.uid ?? header.uid ?? 0,
    gid: pax.gid ?? header.gid ?? 0,
    mtime: pax.mtime?.seconds ?? Math.floor((header.mtime?.getTime() ?? 0) / 1000),
    mtimeNsec: pax.mtime?.nanoseconds ?? 0,
    // It gives no body for directories, whatever their size.
    size: type === 'directory' ? 0 : (header.size ?? 0),
    rdev: isDevice ? makedev(header.devmajor ?? 0, header.devminor ?? 0) : 0,
    linkTarget: isLink ? faithful(header.linkname ?? '', 'a link target', header) : bytesOf(''),
    xattrs: Xattrs.of(pax.xattrs),
    offset,
  }
}

/** The bytes of a text, unless it holds the character that stands for bytes which were no UTF-8. */
function faithful(text: string, what: string, header: TarStreamHeader): ByteString {
  if (!text.includes('\ufffd')) return bytesOf(text)
  throw new ComposefsError('ERR_PAX_VALUE', `tar-stream has replaced bytes of ${what} that are no UTF-8`, {
    path: printable(bytesOf(header.name)),
    hint: 'read the archive with TarDecoder and PaxParser, which keep all bytes',
  })
}
