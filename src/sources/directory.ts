/**
 * A directory on disk as the beginning of a pipeline.
 *
 * @packageDocumentation
 */

import { Readable } from 'node:stream'
import type { BytesLike } from '../bytes.ts'
import type { EntryRecord } from '../streams/records.ts'
import { recordHighWaterMark } from '../streams/stage.ts'
import { DirectoryScan, type ScanOptions } from './scan.ts'

/**
 * The records of a directory and everything below it, as PaxParser gives those of a layer: paths are absolute in the
 * tree (`/usr/bin`), the directory itself is `/`. Hardlinks become entries of their own that name the path met first.
 * Names are what they are: give the tree that is made of them `whiteouts: false`.
 *
 * Nothing is followed, and each inode is read through one descriptor. An inode that changes while it is read, and a
 * directory that changes until all in it was read, are errors: what comes out is what was there. Entries come a
 * directory before what is in it, siblings in the order of their bytes.
 *
 * Errors: `ERR_NOT_FOUND`, `ERR_NOT_DIRECTORY`, `ERR_SOURCE_CHANGED`, `ERR_SOURCE_MOUNT`, `ERR_NATIVE_MISSING` (for
 * extended attributes), `ERR_LIMIT`, `ERR_IO`; each names the path on disk. `ERR_ARGUMENT` is thrown at once.
 *
 * @example
 * ```ts
 * import { DigestStore } from 'composefs-streams/repository'
 * import { TreeSink } from 'composefs-streams/sinks'
 * import { scanDirectory } from 'composefs-streams/sources'
 * import { ContentSplitter, ObjectWriter, pipeline } from 'composefs-streams/streams'
 *
 * const objects = new ObjectWriter(new DigestStore('sha256'))
 * const tree = new TreeSink({ whiteouts: false })
 * const fileSystem = await pipeline(scanDirectory('/srv/root'), new ContentSplitter(), objects, tree)
 * ```
 */
export function scanDirectory(path: BytesLike, options: ScanOptions = {}): Readable {
  return new DirectoryReadable(new DirectoryScan(path, options).records())
}

class DirectoryReadable extends Readable {
  readonly #records: Generator<EntryRecord, void, undefined>

  constructor(records: Generator<EntryRecord, void, undefined>) {
    super({ objectMode: true, highWaterMark: recordHighWaterMark })
    this.#records = records
  }

  override _read(): void {
    try {
      // As many as the stream takes: the file system answers at once, and waiting for each would cost more than it.
      for (let wanted = true; wanted; ) {
        const { done, value } = this.#records.next()
        wanted = this.push(done === true ? null : value)
      }
    } catch (error) {
      this.destroy(error as Error)
    }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#records.return()
    callback(error)
  }
}
