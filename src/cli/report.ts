/**
 * Progress and summary of an import, on stderr.
 *
 * @packageDocumentation
 */
import type { ImportEvent } from '../oci/import.ts'
import type { PublishedImage } from '../oci/publish.ts'
import type { Repository } from '../repository/repository.ts'
import { binarySize, fitting, note } from './output.ts'

/** Without a terminal (in the logs of a CI, say) one line tells that something goes on. */
const quietInterval = 30_000

/**
 * Turns import events into lines for people: on a terminal one line that changes; elsewhere one line a layer, one every
 * 30 seconds, and one at the end.
 */
export class ImportReport {
  readonly #quiet: boolean
  readonly #terminal: boolean
  readonly #start = performance.now()
  #layer: string | undefined
  #layers = 0
  #shown = false
  #lastLine = performance.now()

  constructor(quiet: boolean) {
    this.#quiet = quiet
    this.#terminal = process.stderr.isTTY === true
  }

  event(event: ImportEvent): void {
    if (this.#quiet) return
    switch (event.type) {
      case 'layer-start':
        this.#layer = event.name
        this.#layers++
        break
      case 'layer':
        this.#layer = undefined
        this.#layerLine(event)
        break
      case 'progress':
        this.#progress(event.bytes)
        break
      case 'image':
    }
  }

  /** Removes the line that changes. */
  clear(): void {
    if (this.#shown) process.stderr.write('\r\x1b[K')
    this.#shown = false
  }

  finish(images: readonly PublishedImage[], { stats, path }: Repository): void {
    if (this.#quiet) return
    const seconds = (performance.now() - this.#start) / 1000
    const made =
      stats.newObjects === 0
        ? `nothing new: all ${stats.presentObjects} objects were there`
        : `${stats.newObjects} new objects (${binarySize(stats.newBytes)}), ${stats.presentObjects} were there`
    note(`${made}; ${seconds.toFixed(1)} s`)
    for (const { tags, manifestDigest } of images) {
      const name =
        tags.length > 0
          ? tags.join(', ')
          : 'no name was given; what has none is removed by the next gc; give one with --name'
      note(`image ${manifestDigest} (${name}) in ${path}`)
    }
  }

  #layerLine({ layer, newObjects, newBytes, presentObjects }: ImportEvent & { type: 'layer' }): void {
    this.clear()
    const what = layer.present ? 'known layer' : 'layer'
    const stored = `${newObjects} new objects (${binarySize(newBytes)}), ${presentObjects} present`
    note(`${what} ${layer.diffId.slice(0, 19)}…  ${binarySize(layer.tarSize)}  ${stored}`)
    this.#lastLine = performance.now()
  }

  #progress(bytes: number): void {
    const now = performance.now()
    const rate = binarySize(Math.round((bytes * 1000) / Math.max(1, now - this.#start)))
    const layer = this.#layer === undefined ? '' : `  layer ${this.#layers}`
    const line = `${binarySize(bytes)}  ${rate}/s${layer}`
    if (this.#terminal) {
      const sum = binarySize(bytes)
      process.stderr.write(`\r\x1b[K${fitting(process.stderr.columns, line, `${sum}${layer}`, sum)}`)
      this.#shown = true
    } else if (now - this.#lastLine >= quietInterval) {
      note(line)
      this.#lastLine = now
    }
  }
}
