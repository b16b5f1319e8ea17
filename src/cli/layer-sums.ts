/**
 * What the layers of one pull brought into the repository, counted as cfsctl does.
 *
 * @packageDocumentation
 */
import type { ImportEvent } from '../oci/import.ts'
import type { PullEvent } from '../oci/pull.ts'
import type { Repository } from '../repository/repository.ts'

/** Files of layers that have objects of their own; neither splitstreams nor manifest, config and image count. */
export class LayerSums {
  newObjects = 0
  presentObjects = 0
  newBytes = 0
  inlineBytes = 0
  readonly #streams = { count: 0, bytes: 0 }
  #repository: Repository | undefined

  /** Whose layers they are; called before the first of them. */
  of(repository: Repository): Repository {
    this.#repository = repository
    return repository
  }

  event(event: PullEvent | ImportEvent): void {
    if (event.type !== 'layer' || event.layer === undefined || this.#repository === undefined) return
    const { stats, objects } = this.#repository
    const { present, id, inlineSize } = event.layer
    if (!present) {
      this.#streams.count++
      this.#streams.bytes += objects.sizeOf(id)
    }
    this.inlineBytes += inlineSize
    this.newObjects = Math.max(0, stats.newObjects - this.#streams.count)
    this.newBytes = Math.max(0, stats.newBytes - this.#streams.bytes)
    this.presentObjects = stats.presentObjects
  }
}
