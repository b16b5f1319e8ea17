/**
 * composefs for Node: verified, deduplicated images from streams.
 *
 * Bytes come in as a stream, every step that understands them is a stage that hands flat records to the next, and sinks
 * turn the records into a repository, a tree or an image.
 *
 * @packageDocumentation
 * @example
 * ```ts
 * import { imageStream, pipeline, TarDecoder, PaxParser, ContentSplitter, ObjectWriter, ObjectDirectory } from 'composefs-streams'
 * import { TreeSink, Decompressor } from 'composefs-streams'
 * import { createWriteStream } from 'node:fs'
 *
 * const objects = new ObjectDirectory('./objects', 'sha256')
 * const split = new ContentSplitter()
 * const fileSystem = await pipeline(
 *   process.stdin, new Decompressor(), new TarDecoder(), new PaxParser(), split, new ObjectWriter(objects), new TreeSink(),
 * )
 * imageStream(fileSystem, { version: 1 }).pipe(createWriteStream('image.cfs'))
 * ```
 */
export * from './erofs/index.ts'
export * from './errors.ts'
export * from './fsverity/index.ts'
export * from './oci/index.ts'
export * from './repository/index.ts'
export * from './selinux/index.ts'
export * from './sinks/index.ts'
export * from './sources/index.ts'
export * from './streams/index.ts'
export * from './tree/index.ts'
