/**
 * What is known about two trees, and what is concluded from it.
 *
 * @packageDocumentation
 */
import type { Algorithm } from '../fsverity/object-id.ts'
import type { FileSystem } from './filesystem.ts'

/** What is known about one of two trees. */
export interface SideFacts {
  /** The tree itself: without it, what it says about its root, `/run` and `/boot` is not known. */
  readonly tree?: FileSystem
  /** Format of the image that it was read from. */
  readonly version?: number
  /** The hash that names its objects, or its image. */
  readonly algorithm?: Algorithm
  /** Id of the image, in hex. */
  readonly id?: string
}

/** What is known about both. */
export interface DiffFacts {
  readonly a?: SideFacts
  readonly b?: SideFacts
}

/** See `explain`. */
export type CauseName =
  | 'implicit-parents'
  | 'nanoseconds'
  | 'epoch'
  | 'xattr-filter'
  | 'label'
  | 'root-metadata'
  | 'run-emptied'
  | 'boot-emptied'
  | 'hardlinks'
  | 'home'
  | 'hash'
  | 'erofs-version'

/** A likely cause. */
export interface Cause {
  readonly cause: CauseName
  /** One line for people, which calls the trees A and B. */
  readonly text: string
  /** How many properties, or paths of one tree alone, it explains. None where it is a fact about the images. */
  readonly count: number
}
