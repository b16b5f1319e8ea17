/**
 * What the reports of a pull have in common.
 *
 * @packageDocumentation
 */
import type { ImportEvent } from '../oci/import.ts'
import type { PullEvent } from '../oci/pull.ts'
import type { RetryNotice } from '../oci/registry/retry.ts'
import { binarySize } from './output.ts'

/** Takes what a pull tells. */
export interface PullReport {
  event(event: PullEvent | ImportEvent): void
  retry(notice: RetryNotice): void
  /** Removes what is not meant to stay. */
  end(): void
}

/** `layer 2: sha256:5f70bf18a086 12.30 MiB, cached` */
export function layerLine(event: (PullEvent | ImportEvent) & { type: 'layer' }): string {
  if ('name' in event) return `layer ${event.name.slice(0, 40)} ${binarySize(event.layer.size)}`
  const { number, digest, size, cached } = event
  return `layer ${number}: ${shortDigest(digest)} ${binarySize(size)}, ${cached ? 'cached' : 'downloaded'}`
}

/** Enough to tell it from others. */
export const shortDigest = (digest: string): string => digest.slice(0, 'sha256:'.length + 12)

/** `again in 1.2 s (1): what went wrong` */
export function retryLine({ delay, attempt, error }: RetryNotice): string {
  return `again in ${(delay / 1000).toFixed(1)} s (attempt ${attempt}): ${error.message}`
}
