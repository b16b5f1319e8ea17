/**
 * Stages: every step between bytes and an image, each a Node `Transform` over a synchronous machine.
 *
 * @packageDocumentation
 */
export {
  ArchiveReader,
  ArchiveReaderMachine,
  type ArchiveReaderOptions,
  type ArchiveRecord,
  type MemberKind,
} from './archive-reader.ts'
export { type Compression, detectCompression } from './compression.ts'
export { createCompressor } from './compressor.ts'
export { ContentSplitter, ContentSplitterMachine, type ContentSplitterOptions } from './content-splitter.ts'
export { Decompressor, type DecompressorOptions } from './decompressor.ts'
export { DigestVerifier, DigestVerifierMachine, type DigestVerifierOptions } from './digest-verifier.ts'
export {
  DumpfileReader,
  DumpfileReaderMachine,
  type DumpfileReaderOptions,
  readDumpfile,
  readDumpfileFrom,
} from './dumpfile-reader.ts'
export {
  type DumpfileItem,
  type DumpfileTextOptions,
  DumpfileWriter,
  DumpfileWriterMachine,
  dumpfileChunks,
  dumpfileLine,
  dumpfileText,
  homeItems,
} from './dumpfile-writer.ts'
export { type EntryWithBody, entries } from './entries.ts'
export { fromTarStream } from './from-tar-stream.ts'
export { fuse } from './fuse.ts'
export { ObjectWriter, type ObjectWriterOptions } from './object-writer.ts'
export { PaxParser, PaxParserMachine } from './pax-parser.ts'
export { encodePaxRecord, type PaxRecord, paxRecords } from './pax-records.ts'
export { type PipelineOptions, pipeline, type Sink, type Source, type Step } from './pipeline.ts'
export { Progress, type ProgressEvent, ProgressMachine, type ProgressOptions } from './progress.ts'
export {
  type Content,
  type Data,
  type DumpRecord,
  type End,
  type Entry,
  type EntryRecord,
  type EntryType,
  type Header,
  inlineLimit,
  type ObjectSink,
  type ObjectStore,
  type Scratch,
  type SplitRecord,
  type StoredRecord,
  type TarRecord,
  type Trailer,
} from './records.ts'
export type { SplitstreamChunk } from './splitstream-chunks.ts'
export {
  readSplitstreamEntries,
  SplitstreamEntries,
  SplitstreamEntriesMachine,
  type SplitstreamEntriesOptions,
  type StoredEntry,
} from './splitstream-entries.ts'
export { contentTypes } from './splitstream-format.ts'
export {
  parseSplitstream,
  type Splitstream,
  type SplitstreamOptions,
  SplitstreamReader,
  SplitstreamReaderMachine,
  type SplitstreamReaderOptions,
} from './splitstream-reader.ts'
export {
  encodeSplitstream,
  type SplitstreamBody,
  type SplitstreamTotals,
  SplitstreamWriter,
  SplitstreamWriterMachine,
  type SplitstreamWriterOptions,
} from './splitstream-writer.ts'
export { AsyncStage, type Emit, type Machine, type Mode, Stage, type TypedTransform } from './stage.ts'
export { TarDecoder, TarDecoderMachine } from './tar-decoder.ts'
export { encodeEntry, endBlocks, zeroPadding } from './tar-encoder.ts'
export {
  encodeHeader,
  type HeaderFields,
  headerPath,
  parseHeader,
  type TarFormat,
  type TarHeader,
  typeflags,
} from './tar-header.ts'
export {
  type PaxParserOptions,
  type TarOptions,
  type TarWarning,
  type TarWarningCode,
  tarWarnings,
} from './tar-options.ts'
export { type Branch, tee } from './tee.ts'
export { decodeZstd, type ZstdOptions } from './zstd-decoder.ts'
export { encodeZstd } from './zstd-encoder.ts'
