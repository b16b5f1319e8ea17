/**
 * Progress of a pull or a push on stderr.
 *
 * @packageDocumentation
 */
import type { RetryNotice } from '../oci/registry/retry.ts'
import { LayerBoard } from './layer-board.ts'
import { binarySize, note, noteJson } from './output.ts'
import { layerLine, type PullReport, type ReportedEvent, retryLine, shortDigest } from './pull-lines.ts'

/** How progress is shown. `auto`: `tty` where stderr and stdout are terminals, else `plain`. */
export type ProgressMode = 'auto' | 'tty' | 'plain' | 'json' | 'none'

/** The report for a mode. */
export function makePullReport(mode: ProgressMode): PullReport {
  const terminal = process.stderr.isTTY === true && process.stdout.isTTY === true
  switch (mode === 'auto' ? (terminal ? 'tty' : 'plain') : mode) {
    case 'tty':
      return new LayerBoard(process.stderr)
    case 'json':
      return new JsonReport()
    case 'plain':
      return new PlainReport()
    default:
      return { event: () => {}, retry: () => {}, end: () => {} }
  }
}

/** Milliseconds between two lines that only tell that it goes on. */
const plainInterval = 30_000

/** One line an event, for logs. */
class PlainReport implements PullReport {
  readonly #bytes = new Map<number, number>()
  #total = 0
  #last = performance.now()

  event(event: ReportedEvent): void {
    switch (event.type) {
      case 'manifest':
        this.#total = event.layers.reduce((sum, { size }) => sum + size, 0)
        note(`manifest ${shortDigest(event.digest)}: ${event.layers.length} layers, ${binarySize(this.#total)}`)
        break
      case 'layer-progress':
        this.#bytes.set(event.number, event.bytes)
        this.#goesOn()
        break
      case 'layer':
        if (!('name' in event)) this.#bytes.set(event.number, event.size)
        note(layerLine(event))
        break
      default:
    }
  }

  retry(notice: RetryNotice): void {
    note(retryLine(notice))
  }

  end(): void {}

  #goesOn(): void {
    const now = performance.now()
    if (now - this.#last < plainInterval) return
    this.#last = now
    const bytes = [...this.#bytes.values()].reduce((sum, value) => sum + value, 0)
    note(`${binarySize(bytes)} of ${binarySize(this.#total)}`)
  }
}

/** JSON lines, for programs. */
class JsonReport implements PullReport {
  event(event: ReportedEvent): void {
    noteJson(plainEvent(event))
  }

  retry({ error, attempt, delay }: RetryNotice): void {
    noteJson({ type: 'retry', code: error.code, message: error.message, attempt, delay: Math.round(delay) })
  }

  end(): void {}
}

function plainEvent(event: ReportedEvent): object {
  switch (event.type) {
    case 'manifest':
      return { ...event, layers: event.layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })) }
    case 'layer': {
      if ('how' in event) return event
      const { layer, ...rest } = event
      return { ...rest, ...(layer !== undefined && { diffId: layer.diffId, tarSize: layer.tarSize }) }
    }
    case 'image':
      return { type: 'image', manifestDigest: event.image.manifestDigest, imageId: event.image.imageId.hex }
    case 'artifact':
      return { type: 'artifact', manifestDigest: event.artifact.manifestDigest }
    case 'pushed':
      return { type: 'pushed', manifestDigest: event.image.manifestDigest, original: event.image.original }
    default:
      return event
  }
}
