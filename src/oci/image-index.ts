/**
 * Which images an index offers, and the way from an index to the manifest of one: the same for registries, layouts and
 * archives.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { type Descriptor, documentType, isIndex, manifestTypes, type Platform, parseIndex } from './manifest.ts'
import { choosePlatform, isNoImage } from './platform.ts'
import { parseReference, referenceText } from './registry/reference.ts'

/** The annotation that holds the tag of an image in a layout. */
export const refName = 'org.opencontainers.image.ref.name'
/** The full name that containerd and Docker add. */
const containerdName = 'io.containerd.image.name'
const maxDepth = 4

/** An image by the names under which it is offered. */
export interface NamedImage {
  readonly tags: readonly string[]
  /** All names that it has: the tags, and others that stand for them. */
  readonly names: readonly string[]
  /** Its places in the list, from 0 on; it may be there under several names. */
  readonly numbers: readonly number[]
}

/** An image of a layout: its entry, or one for each platform. */
export interface LayoutImage extends NamedImage {
  readonly entries: readonly Descriptor[]
}

/**
 * The images of an `index.json`. Entries of one name are one image for several platforms. What says that it is no
 * image is left out, unless there is nothing else.
 *
 * @throws {@link ComposefsError} `ERR_OCI_JSON`
 */
export function layoutImages(bytes: Uint8Array): LayoutImage[] {
  const all = parseIndex(bytes)
  const images = all.filter((entry) => !isNoImage(entry) && [...manifestTypes, ''].includes(entry.mediaType))
  const groups = new Map<string, LayoutImage>()
  const usable = images.length > 0 ? images : all
  const unnamed = usable.filter((entry) => nameOf(entry) === undefined)
  // Without any names they may be one image all the same.
  const areOne =
    unnamed.length === usable.length && new Set(unnamed.map(({ platform }) => platformKey(platform))).size > 1
  for (const entry of usable) {
    const name = nameOf(entry)
    const key = name === undefined ? (areOne ? '' : `@${entry.digest}`) : `=${name}`
    const { entries, numbers, names } = groups.get(key) ?? { entries: [], numbers: [], names: [] }
    groups.set(key, {
      tags: name === undefined ? [] : [name],
      names: [...names, ...[entry.annotations[refName] ?? []].flat(), ...(name === undefined ? [] : [name])],
      numbers: [...numbers, all.indexOf(entry)],
      entries: [...entries, entry],
    })
  }
  return merged([...groups.values()])
}

/** One image under several names is one. */
function merged(images: readonly LayoutImage[]): LayoutImage[] {
  const found = new Map<string, LayoutImage>()
  for (const image of images) {
    const key = String([...new Set(image.entries.map(({ digest }) => digest))])
    const known = found.get(key)
    found.set(key, {
      entries: image.entries,
      tags: [...new Set([...(known?.tags ?? []), ...image.tags])],
      names: [...(known?.names ?? []), ...image.names],
      numbers: [...(known?.numbers ?? []), ...image.numbers],
    })
  }
  return [...found.values()]
}

const nameOf = ({ annotations }: Descriptor): string | undefined => annotations[containerdName] ?? annotations[refName]
const platformKey = (platform: Platform | undefined): string => `${platform?.os}/${platform?.architecture}`

/**
 * The image that is called so, or that has the number after `@`. Tools leave the host or the `library/` out, or not,
 * and layouts have tags alone.
 */
export function imageCalled<T extends NamedImage>(images: readonly T[], name: string): T | undefined {
  const number = /^@([0-9]+)$/.exec(name)?.[1]
  if (number !== undefined) return images.find(({ numbers }) => numbers.includes(Number(number)))
  const full = fullName(name)
  const exact = images.find(({ names }) => names.includes(name))
  return exact ?? images.find(({ names }) => names.some((tag) => fullName(tag) === full || tag.endsWith(`:${name}`)))
}

/** With Docker's defaults, where it is a reference at all. */
function fullName(name: string): string {
  try {
    return referenceText(parseReference(name))
  } catch {
    return name
  }
}

/** The way from an index, or an index of indexes, down to a manifest. */
export class IndexWalk {
  readonly #platform: Platform
  readonly #source: string
  #depth = 0

  /** @param source what to call the place of the index in messages */
  constructor(platform: Platform, source: string) {
    this.#platform = platform
    this.#source = source
  }

  /**
   * What to read next; undefined where the document is a manifest.
   *
   * @throws {@link ComposefsError} `ERR_OCI_JSON`, `ERR_OCI_PLATFORM`
   */
  next(document: Uint8Array): Descriptor | undefined {
    if (!isIndex({ mediaType: documentType(document) })) return undefined
    if (this.#depth++ === maxDepth) {
      throw new ComposefsError('ERR_OCI_JSON', `the indexes of ${this.#source} are nested too deep`)
    }
    return choosePlatform(parseIndex(document), this.#platform)
  }
}
