import type { Steps } from '../turns.ts'
import type { ErofsVersion } from './format.ts'
import type { PlanNode } from './plan.ts'
import type { Survey } from './survey.ts'
import type { XattrPair } from './xattr-pair.ts'
import type { XattrTable } from './xattr-table.ts'

/** What the headers say about the tree. */
export interface Summary {
  readonly flags: number
  readonly buildTime: number | bigint
  readonly buildTimeNsec: number
}

/** Where the versions of the format differ: one object for 0 and 1, one for 2. The steps are called in this order. */
export interface Rules {
  readonly version: ErofsVersion
  /** Whether the prefix `lustre.` is stored as a number. */
  readonly lustre: boolean
  /** How many pairs of an inode may refer to the shared table; the others are written out. */
  readonly maxSharedPairs: number
  /** Puts the inodes into the order of the image and numbers them. */
  order(survey: Survey): Steps<PlanNode[]>
  /** Gives each inode its xattrs, those of overlayfs included, and counts their uses. */
  dress(nodes: readonly PlanNode[], table: XattrTable): Steps<void>
  /** The order in which an inode has its other pairs and those of its contents. */
  join(pairs: readonly XattrPair[], content: readonly XattrPair[]): readonly XattrPair[]
  summarize(nodes: readonly PlanNode[], table: XattrTable): Summary
  /** Order of the shared table. */
  compareShared(a: XattrPair, b: XattrPair): number
  /** Decides how an inode and its data are stored, now that the size of its xattrs is known. */
  shape(node: PlanNode, summary: Summary): void
  /** Where the inode begins: at `offset`, a multiple of 32, or after it. May move the tail into a block. */
  place(node: PlanNode, offset: number): number
  /** The block of the shared table for the superblock, and the offset that its references count from. */
  sharedTable(inodesEnd: number): { readonly block: number; readonly origin: number }
  ino(node: PlanNode): number
  mtimeNsec(node: PlanNode): number
}
