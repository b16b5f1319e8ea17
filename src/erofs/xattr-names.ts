/**
 * How xattr names are stored: a prefix as a number, the rest as bytes (spec: erofs-image, section 5).
 */
import type { ByteString } from '../bytes.ts'
import { xxh32 } from './xxh32.ts'

const prefixes: readonly (readonly [index: number, prefix: string])[] = [
  [1, 'user.'],
  [2, 'system.posix_acl_access'],
  [3, 'system.posix_acl_default'],
  [4, 'trusted.'],
  [6, 'security.'],
]

/** The C tools never shorten this one; composefs-rs does in version 2. */
export const lustreIndex = 5
const lustrePrefix = 'lustre.'

const filterSeed = 0x25bbe08f

/** A name in its stored form. */
export interface StoredName {
  readonly index: number
  readonly suffix: ByteString
}

/** Splits a full name. Where no prefix fits the index is 0 and the suffix the whole name. */
export function splitName(name: ByteString, lustre: boolean): StoredName {
  for (const [index, prefix] of prefixes) {
    if (name.startsWith(prefix)) return { index, suffix: name.slice(prefix.length) as ByteString }
  }
  if (lustre && name.startsWith(lustrePrefix)) {
    return { index: lustreIndex, suffix: name.slice(lustrePrefix.length) as ByteString }
  }
  return { index: 0, suffix: name }
}

const prefixOfIndex: readonly (string | undefined)[] = ((): string[] => {
  const list: string[] = ['']
  for (const [index, prefix] of prefixes) list[index] = prefix
  list[lustreIndex] = lustrePrefix
  return list
})()

/** The full name, or undefined where the index is none that composefs uses. */
export function joinName(index: number, suffix: string): ByteString | undefined {
  const prefix = prefixOfIndex[index]
  return prefix === undefined ? undefined : ((prefix + suffix) as ByteString)
}

/** The bit of the inode's name filter that this name clears, as a mask. */
export function filterBit({ index, suffix }: StoredName): number {
  return 1 << (xxh32(suffix, filterSeed + index) & 31)
}
