/**
 * Many layers at once on a terminal: one line for each that is on its way, and one for all.
 *
 * @packageDocumentation
 */

import { escapeControls } from '../escape.ts'
import type { RetryNotice } from '../oci/registry/retry.ts'
import { binarySize, fitting } from './output.ts'
import { layerLine, type PullReport, type ReportedEvent, retryLine, shortDigest } from './pull-lines.ts'

/** Least milliseconds between two drawings. */
const interval = 100
const barWidth = 24
/** What is shorter shows nothing. */
const minBarWidth = 5

interface ActiveLayer {
  readonly digest: string
  readonly size: number
  bytes: number
}

/** What is finished stays as a line above; the lines below are drawn anew. */
export class LayerBoard implements PullReport {
  readonly #out: NodeJS.WriteStream
  readonly #active = new Map<number, ActiveLayer>()
  readonly #start = performance.now()
  #drawn = 0
  #last = 0
  #total = 0
  /** Bytes of layers that are finished or were there. */
  #done = 0
  #cached = 0

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  event(event: ReportedEvent): void {
    switch (event.type) {
      case 'manifest':
        this.#total = event.layers.reduce((sum, { size }) => sum + size, 0)
        break
      case 'layer-start':
        if ('number' in event) this.#active.set(event.number, { digest: event.digest, size: event.size, bytes: 0 })
        break
      case 'layer-progress': {
        const layer = this.#active.get(event.number)
        if (layer !== undefined) layer.bytes = event.bytes
        break
      }
      case 'layer':
        if ('number' in event)
          this.#finish(event.number, event.size, 'how' in event ? event.how !== 'sent' : event.cached)
        this.#above(layerLine(event))
        return
      case 'progress':
        this.#total = event.bytes
        this.#done = event.bytes
        break
      case 'image':
      case 'artifact':
      case 'pushed':
        return
    }
    this.#draw()
  }

  retry(notice: RetryNotice): void {
    this.#above(retryLine(notice))
  }

  end(): void {
    this.#erase()
  }

  #finish(number: number, size: number, cached: boolean): void {
    this.#active.delete(number)
    this.#done += size
    if (cached) this.#cached += size
  }

  #above(line: string): void {
    this.#erase()
    this.#out.write(`${escapeControls(line)}\n`)
    this.#draw(true)
  }

  #erase(): void {
    // What was typed meanwhile, such as ^C, has moved the cursor to the right.
    if (this.#drawn > 0) this.#out.write(`\r\x1b[${this.#drawn}A\x1b[J`)
    this.#drawn = 0
  }

  #draw(now = false): void {
    const time = performance.now()
    if (!now && time - this.#last < interval) return
    this.#last = time
    this.#erase()
    const { columns } = this.#out
    const lines = [...this.#active].map(([number, layer]) => fitting(columns, ...layerWays(number, layer)))
    lines.push(fitting(columns, ...this.#summaryWays(time)))
    this.#out.write(lines.map((line) => `${escapeControls(line)}\n`).join(''))
    this.#drawn = lines.length
  }

  #summaryWays(time: number): string[] {
    const onTheWay = [...this.#active.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    const came = this.#done - this.#cached + onTheWay
    const rate = came / Math.max(0.001, (time - this.#start) / 1000)
    const rest = this.#total - this.#done - onTheWay
    const left = rate > 0 && rest > 0 ? `, ${Math.ceil(rest / rate)} s left` : ''
    const sum = `total ${binarySize(this.#done + onTheWay)} of ${binarySize(this.#total)}`
    const speed = `${binarySize(Math.round(rate))}/s`
    return [`${sum}, ${speed}${left}`, `${sum}, ${speed}`, sum, `total ${percent(this.#done + onTheWay, this.#total)}`]
  }
}

/** From the most telling to the shortest. */
function layerWays(number: number, { digest, size, bytes }: ActiveLayer): string[] {
  const amount = `${binarySize(bytes)} of ${binarySize(size)}`
  const ways: string[] = []
  for (const name of [`layer ${number}: ${shortDigest(digest)}`, `layer ${number}:`]) {
    for (let width = barWidth; width >= minBarWidth; width--) {
      ways.push(`${name} ${bar(bytes, size, width)} ${amount}`)
    }
  }
  return [...ways, `layer ${number}: ${amount}`, `layer ${number}: ${percent(bytes, size)}`]
}

const part = (bytes: number, size: number): number => (size === 0 ? 1 : Math.min(1, bytes / size))
const percent = (bytes: number, size: number): string => `${Math.floor(100 * part(bytes, size))}%`

function bar(bytes: number, size: number, width: number): string {
  const filled = Math.round(part(bytes, size) * width)
  return `[${'='.repeat(filled)}${' '.repeat(width - filled)}]`
}
