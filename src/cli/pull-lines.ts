/**
 * What the reports of a pull have in common.
 *
 * @packageDocumentation
 */
import type { ImportEvent } from '../oci/import.ts'
import type { PullEvent } from '../oci/pull.ts'
import type { PushEvent } from '../oci/push.ts'
import type { RetryNotice } from '../oci/registry/retry.ts'
import { binarySize } from './output.ts'

/** What the reports know about. */
export type ReportedEvent = PullEvent | ImportEvent | PushEvent

/** Takes what a pull or a push tells. */
export interface PullReport {
  event(event: ReportedEvent): void
  retry(notice: RetryNotice): void
  /** Removes what is not meant to stay. */
  end(): void
}

/** `layer 2: sha256:5f70bf18a086 12.30 MiB, cached` */
export function layerLine(event: ReportedEvent & { type: 'layer' }): string {
  if ('name' in event) return `layer ${event.name.slice(0, 40)} ${binarySize(event.layer.size)}`
  if ('how' in event) {
    const { number, blob, how } = event
    return `layer ${number}: ${shortDigest(blob.digest)} ${binarySize(blob.size)}, ${how}`
  }
  const { number, digest, size, cached } = event
  return `layer ${number}: ${shortDigest(digest)} ${binarySize(size)}, ${cached ? 'cached' : 'downloaded'}`
}

/** Enough to tell it from others. */
export const shortDigest = (digest: string): string => digest.slice(0, 'sha256:'.length + 12)

/** `again in 1.2 s (1): what went wrong` */
export function retryLine({ delay, attempt, error }: RetryNotice): string {
  return `again in ${(delay / 1000).toFixed(1)} s (attempt ${attempt}): ${error.message}`
}
