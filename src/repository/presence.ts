/**
 * Whether an object is there already, and how far that is believed: its name and its size tell, its contents are
 * compared where that is cheap, or where there is reason to doubt.
 *
 * @packageDocumentation
 */
import { lstatSync } from 'node:fs'
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import { isDamage, isIntact, isIntactLater } from './object-reader.ts'
import type { VerityKeeper } from './verity.ts'

/** What is in the place of an object. */
export type Presence = 'absent' | 'present' | 'damaged'

/** Ids remembered as present. Beyond that the file system is asked again: memory stays bounded. */
const maxKnown = 16_384
/** Bytes up to which an object that is there is always compared with what is to be stored. */
const alwaysCompared = 64 * 1024

/** What a store knows of the objects that it has. */
export class KnownObjects {
  readonly #pathOf: (id: ObjectId) => string
  readonly #verity: VerityKeeper
  readonly #known = new Set<string>()
  #comparesAll: boolean

  /** @param comparesAll whether all objects are compared from the beginning, whatever their size */
  constructor(pathOf: (id: ObjectId) => string, verity: VerityKeeper, comparesAll: boolean) {
    this.#pathOf = pathOf
    this.#verity = verity
    this.#comparesAll = comparesAll
  }

  /** Whether the object was stored or found since the store was opened. */
  has(id: ObjectId): boolean {
    return this.#known.has(id.hex)
  }

  add(id: ObjectId): void {
    if (this.#known.size >= maxKnown) this.#known.clear()
    this.#known.add(id.hex)
  }

  /** @param contents what it should hold, where that is at hand. Otherwise its id is computed. */
  lookFor(id: ObjectId, size: number, contents?: Buffer): Presence {
    const found = this.#glance(id, size)
    if (found !== 'unproven') return found
    return isIntact(this.#pathOf(id), id, this.#verity, contents) ? 'present' : 'damaged'
  }

  /** The same for a large object, whose reading others shall not wait for. */
  async lookForLarge(id: ObjectId, size: number): Promise<Presence> {
    const found = this.#glance(id, size)
    if (found !== 'unproven') return found
    return (await isIntactLater(this.#pathOf(id), id, this.#verity)) ? 'present' : 'damaged'
  }

  /** Reads an object, and takes note where it turns out to be missing or damaged. Throws what `read` throws. */
  reading<T>(id: ObjectId, read: () => T): T {
    try {
      return read()
    } catch (error) {
      this.notice(id, error)
      throw error
    }
  }

  /** Where one object is damaged, others may be: from here on no size is believed. */
  notice(id: ObjectId, error: unknown): void {
    if (!isDamage(error)) return
    if (error instanceof ComposefsError && error.code === 'ERR_NOT_FOUND') {
      this.#known.delete(id.hex)
      return
    }
    this.#known.clear()
    this.#comparesAll = true
  }

  #glance(id: ObjectId, size: number): Presence | 'unproven' {
    // An object is a file: what a symlink leads to may change.
    const found = lstatSync(this.#pathOf(id), { throwIfNoEntry: false })
    if (found === undefined) return 'absent'
    if (!found.isFile() || found.size !== size) return 'damaged'
    const compares = this.#comparesAll || size <= alwaysCompared || this.#verity.policy === 'required'
    return compares ? 'unproven' : 'present'
  }

  /** Nothing is known to be there any more. */
  forget(): void {
    this.#known.clear()
  }
}
