/**
 * Sinks: where pipelines end and something is made.
 *
 * @packageDocumentation
 */
export { type FinishedSplitstream, SplitstreamSink } from './splitstream-sink.ts'
export { TreeSink, type TreeSinkOptions } from './tree-sink.ts'
