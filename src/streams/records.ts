/**
 * The flat records that stages hand to each other.
 *
 * A `data` record belongs to the last `entry` (or `header`). Chunks may be views of the input: copy what you keep.
 *
 * @packageDocumentation
 */
import type { Algorithm, ObjectId } from '../fsverity/object-id.ts'
import type { DraftRules } from '../native/draft-files.ts'
import type { Content, Entry } from '../tree/entry.ts'
import type { TarHeader } from './tar-header.ts'

export type { Content, Entry, EntryType } from '../tree/entry.ts'

/** Part of the body of the last entry. Never empty. */
export interface Data {
  readonly kind: 'data'
  readonly chunk: Buffer
}

/** The body of the last entry is complete; `padding` is what fills its last 512-byte block, as found. */
export interface End {
  readonly kind: 'end'
  readonly padding: Buffer
}

/**
 * Bytes that belong to no entry: global PAX headers, lone zero blocks, the end blocks and everything after them. May
 * come in several records.
 */
export interface Trailer {
  readonly kind: 'trailer'
  readonly bytes: Buffer
}

/** From TarDecoder: one header block as it stands in the archive, `offset` bytes from the start. */
export interface Header {
  readonly kind: 'header'
  readonly offset: number
  readonly block: Buffer
  readonly header: TarHeader
}

/**
 * TarDecoder ▶ PaxParser. Every header (extension headers too) is followed by its `data` records and one `end`,
 * also where the body is empty.
 */
export type TarRecord = Header | Data | End | Trailer

/** PaxParser ▶ ContentSplitter. `raw` holds the header blocks, and extension bodies with their padding, as found. */
export type EntryRecord =
  | { readonly kind: 'entry'; readonly entry: Entry; readonly raw: readonly Buffer[] }
  | Data
  | End
  | Trailer

/**
 * ContentSplitter ▶ ObjectWriter. Per entry: headers (`inline`), body (`inline`, or `external-open`, `external-data`…,
 * `external-close`), padding (`inline`), then `entry`, whose `body` holds the contents of a small file.
 * The `inline` records, in order, with the externals in between, are the tar byte for byte.
 */
export type SplitRecord =
  | { readonly kind: 'inline'; readonly bytes: Buffer }
  | { readonly kind: 'external-open'; readonly size: number }
  | { readonly kind: 'external-data'; readonly chunk: Buffer }
  | { readonly kind: 'external-close' }
  | { readonly kind: 'entry'; readonly entry: Entry; readonly body: Buffer | undefined }

/** ObjectWriter ▶ SplitstreamWriter, TreeSink. The former ignores `entry`, the latter everything else. */
export type StoredRecord =
  | { readonly kind: 'inline'; readonly bytes: Buffer }
  | { readonly kind: 'external'; readonly id: ObjectId; readonly size: number }
  | { readonly kind: 'entry'; readonly entry: Entry; readonly content: Content }

/**
 * Where ObjectWriter and the scans of directories put contents. `ObjectDirectory` and `DigestStore` implement it.
 *
 * What `put` and the sinks of `create` are given is the store's to keep: those bytes never change afterwards. A store
 * that keeps nothing beyond its answer says so with {@link borrows}. No store may change them, or transfer their memory
 * to a thread: others may lie beside them.
 */
export interface ObjectStore {
  readonly algorithm: Algorithm
  /**
   * Whether this store is done with the bytes it is given once it has answered: once the call has returned, or the
   * promise that it returned has settled. The callers then use their memory again, which saves a copy of everything.
   * Default false.
   */
  readonly borrows?: boolean
  /**
   * Stores a whole object; `id` is its id where the caller has computed it. A store that answers synchronously is
   * faster: no promise a file.
   */
  put(bytes: Buffer, id?: ObjectId): ObjectId | Promise<ObjectId>
  /** Whether `put` always answers synchronously and makes use of `id`: then another thread may compute it. */
  readonly takesIds?: boolean
  /**
   * Where another thread may write contents ahead, into files without a name, for {@link putDraft}; undefined where it
   * shall not: most of what comes is likely to be there.
   */
  readonly drafts?: DraftRules | undefined
  /** Stores the contents of such a file; takes over the descriptor, whatever happens. */
  putDraft?(fd: number, size: number, id: ObjectId): ObjectId
  /** Begins an object that comes in pieces and whose size is known. */
  create(size: number): ObjectSink
  /** Opens a place for bytes that memory shall not hold. Without it they stay in memory. */
  openScratch?(): Scratch
}

/** Bytes that are written once, read back, and forgotten. */
export interface Scratch {
  write(bytes: Buffer): void
  /** All that was written, in pieces. May be called again; nothing is written any more then. */
  read(): Iterable<Buffer>
  /** Never throws; may be called again. */
  close(): void
}

/** An object on its way into a store. Exactly one of `finish` and `abort` ends it. */
export interface ObjectSink {
  /** The next piece. How long it may be kept, {@link ObjectStore} says; the next one comes once this is answered. */
  write(chunk: Buffer): void | Promise<void>
  finish(): Promise<ObjectId>
  /** Gives up and leaves nothing behind. Never throws. */
  abort(): Promise<void>
}

/** Files of at most this many bytes stay inside the splitstream and the image (spec: tar-layer, section 1). */
export const inlineLimit = 64

/** DumpfileReader ▶ TreeSink. Declared in `tree/`, where trees are assembled from it. */
export type { DumpRecord } from '../tree/assemble.ts'
