/**
 * Sinks: where pipelines end and something is made.
 *
 * @packageDocumentation
 */
export type { CheckoutResult } from './checkout.ts'
export type { CheckoutOptions } from './checkout-target.ts'
export { checkoutTree, DirectorySink } from './directory-sink.ts'
export type { ContentOptions } from './restore-contents.ts'
export type { NotRestored } from './restore-stat.ts'
export { type FinishedSplitstream, SplitstreamSink } from './splitstream-sink.ts'
export { TreeSink, type TreeSinkOptions } from './tree-sink.ts'
