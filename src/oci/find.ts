/**
 * What people call an image, and which one they mean by it: the one place where names are looked up.
 *
 * @packageDocumentation
 */
import { ComposefsError, type ErrorCode } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import { decodeTag } from '../repository/names.ts'
import type { Repository } from '../repository/repository.ts'
import { checkDigest, configStream, layerStream, manifestPrefix, manifestStream, tagRef } from './names.ts'

/** What was found: the manifest or config of an OCI image, or an EROFS image. */
export type FoundImage =
  | { readonly kind: 'manifest' | 'config'; readonly digest: string }
  | { readonly kind: 'erofs'; readonly id: ObjectId }

/** Fewer digits are a name that was mistyped rather than a digest. */
const minDigits = 4
const maxSuggestions = 3

/**
 * Finds an image of a repository by whatever it is called: the tag of an OCI image; the name of an EROFS image, with or
 * without `refs/`; a ref of streams (`refs/oci/…`); the digest of a manifest or a config, or the id of an EROFS image,
 * each with or without `@` or `NAME@` and its hash in front, or the beginning of one of them (at least four digits) that
 * no other has. Nothing is read but links.
 *
 * @param first which names come first where a tag and an EROFS image have the same one
 * @throws {@link ComposefsError} `ERR_OCI_NOT_FOUND`, naming what is close; `ERR_ARGUMENT` where several are meant;
 * `ERR_DIGEST_MISMATCH` for the tag of another image in front of a digest; `ERR_OCI_NAME`, `ERR_DIGEST_SYNTAX`, `ERR_ALGORITHM_MISMATCH`, `ERR_REPOSITORY_CORRUPT`
 * @example
 * ```ts
 * import { findImage } from 'composefs-streams/oci'
 * import type { Repository } from 'composefs-streams/repository'
 *
 * const kindOf = (repository: Repository) => findImage(repository, 'fedora').kind
 * ```
 */
export function findImage(repository: Repository, name: string, first: 'oci' | 'erofs' = 'oci'): FoundImage {
  if (name === '') throw new ComposefsError('ERR_OCI_NAME', 'the name of the image is empty')
  const names = first === 'oci' ? [byTag, byImageName] : [byImageName, byTag]
  // No name may stand in for a digest: who writes a whole one gets what has it.
  const lookups = isWholeDigest(name) ? [byDigest, ...names] : [...names, byDigest]
  for (const lookup of lookups) {
    const found = lookup(repository, name)
    if (found !== undefined) return found
  }
  throw notFound(repository, name)
}

/**
 * Finds a layer by its diffID (of an artifact, the digest of a blob): with or without `@`, `oci-layer-` or its hash in
 * front, or by its beginning. Answers the digest, undefined if there is none.
 *
 * @throws {@link ComposefsError} `ERR_ARGUMENT` where several are meant
 */
export function findLayerDigest(repository: Repository, name: string): string | undefined {
  const [, hex] = /^@?(?:oci-layer-)?(?:sha256:)?([0-9a-f]{4,64})$/.exec(name) ?? []
  if (hex === undefined) return undefined
  const found = digestsOf(repository, 'layer', `sha256:${hex}`)
  if (found.length > 1) throw ambiguous(name, found)
  return found[0]
}

/** All tags of a repository, by name. */
export const listTags = (repository: Repository): string[] =>
  repository.listRefs('streams', 'oci').map(({ name }) => decodeTag(name))

const isWholeDigest = (name: string): boolean => /^(?:(?:sha256:)?[0-9a-f]{64}|(?:sha512:)?[0-9a-f]{128})$/.test(name)

function byTag(repository: Repository, name: string): FoundImage | undefined {
  if (name.startsWith('@')) return undefined
  const refs = [`refs/${tagRef(name)}`, ...(name.startsWith('refs/') ? [name] : [])]
  for (const ref of refs) {
    const stream = unlessAbsent(() => repository.resolveStream(ref))
    if (stream === undefined) continue
    const { contentId } = stream
    if (contentId.startsWith(manifestPrefix))
      return { kind: 'manifest', digest: contentId.slice(manifestPrefix.length) }
    throw new ComposefsError('ERR_REPOSITORY_CORRUPT', `the tag ${name} does not lead to a manifest`, {
      hint: 'import or pull the image again',
    })
  }
  if (!listTags(repository).includes(name)) return undefined
  const hint = 'import or pull the image again'
  throw new ComposefsError('ERR_OCI_NOT_FOUND', 'the tag leads to a manifest that is lost', { path: name, hint })
}

function byImageName(repository: Repository, name: string): FoundImage | undefined {
  const ref = name.startsWith('refs/') ? name : `refs/${name}`
  const id = unlessAbsent(() => repository.resolveImage(ref))
  return id && { kind: 'erofs', id }
}

const absent: ReadonlySet<ErrorCode> = new Set(['ERR_NOT_FOUND', 'ERR_OCI_NAME', 'ERR_ARGUMENT'])

/** What a name leads to; undefined where it leads nowhere, or could be none of this kind. */
function unlessAbsent<T>(resolve: () => T): T | undefined {
  try {
    return resolve()
  } catch (error) {
    if (error instanceof ComposefsError && absent.has(error.code)) return
    throw error
  }
}

function byDigest(repository: Repository, name: string): FoundImage | undefined {
  const text = name.slice(name.lastIndexOf('@') + 1)
  const [, algorithm, hex] = /^(?:(sha256|sha512):)?([0-9a-f]+)$/.exec(text) ?? []
  if (hex === undefined || hex.length < minDigits || hex.length > 128) {
    if (name.startsWith('@')) checkDigest(text)
    return undefined
  }
  const found: FoundImage[] = []
  if (algorithm !== 'sha512') {
    for (const kind of ['manifest', 'config'] as const) {
      for (const digest of digestsOf(repository, kind, `sha256:${hex}`)) found.push({ kind, digest })
    }
  }
  if (algorithm === undefined || algorithm === repository.algorithm) {
    for (const id of idsOf(repository, hex)) found.push({ kind: 'erofs', id })
  }
  if (name.indexOf('@') > 0) checkNameOfDigest(repository, name.slice(0, name.lastIndexOf('@')), found)
  if (found.length < 2) return found[0]
  const all = found.map((one) => (one.kind === 'erofs' ? `image ${one.id.hex}` : `${one.kind} ${one.digest}`))
  throw ambiguous(name, all)
}

/** In `NAME@DIGEST` the digest decides, but the name must be there, and its tag must not be one of another image. */
function checkNameOfDigest(repository: Repository, name: string, found: readonly FoundImage[]): void {
  const tagged = byTag(repository, name)
  if (tagged?.kind !== 'manifest') {
    if (listTags(repository).some((tag) => tag.startsWith(`${name}:`) || formsOf(tag).includes(name))) return
    throw notFound(repository, name)
  }
  const others = found.filter(({ kind }) => kind === 'manifest') as { digest: string }[]
  if (others.length === 0 || others.some(({ digest }) => digest === tagged.digest)) return
  throw new ComposefsError('ERR_DIGEST_MISMATCH', `the tag ${name} is another image`, {
    expected: others[0]!.digest,
    actual: tagged.digest,
    hint: 'leave out the name, or the digest',
  })
}

const streamNames = { manifest: manifestStream, config: configStream, layer: layerStream } as const

function digestsOf(repository: Repository, kind: keyof typeof streamNames, start: string): string[] {
  const stream = streamNames[kind]
  if (start.length > 'sha256:'.length + 64) return []
  if (start.length === 'sha256:'.length + 64) return repository.hasStream(stream(start)) === undefined ? [] : [start]
  const prefix = stream(start)
  const streams = repository.listStreams().filter((contentId) => contentId.startsWith(prefix))
  return streams.map((contentId) => contentId.slice(stream('').length))
}

function idsOf(repository: Repository, start: string): readonly ObjectId[] {
  const digits = repository.algorithm === 'sha256' ? 64 : 128
  if (start.length < digits) return repository.listImageIds().filter(({ hex }) => hex.startsWith(start))
  // One that is too long is an id of a repository with another hash, which the error says.
  const id = unlessAbsent(() => repository.resolveImage(start, { verify: false }))
  return id === undefined ? [] : [id]
}

function ambiguous(path: string, all: readonly string[]): ComposefsError {
  const more = all.length > maxSuggestions ? ` and ${all.length - maxSuggestions} more` : ''
  return new ComposefsError('ERR_ARGUMENT', 'several digests begin like this', {
    path,
    hint: `give more digits: ${all.slice(0, maxSuggestions).join(', ')}${more}`,
  })
}

function notFound(repository: Repository, name: string): ComposefsError {
  const details = { path: name, hint: hintFor(repository, name) }
  return new ComposefsError('ERR_OCI_NOT_FOUND', 'there is no such image in the repository', details)
}

/** What else has this name, or which images have one that is close. */
function hintFor(repository: Repository, name: string): string {
  const layer = findLayerDigest(repository, name)
  if (layer !== undefined) return `it is a layer: see composefs oci layer ${layer}`
  if (unlessAbsent(() => repository.resolveStream(name)) !== undefined)
    return `it is a stream: see composefs cat ${name}`
  const images = repository.listImages().map(({ name }) => name)
  const near = closest(name, [...new Set([...listTags(repository), ...images])])
  if (/^@?[0-9a-f]{1,3}$/.test(name)) return `the beginning of a digest takes at least ${minDigits} digits`
  return near.length > 0 ? `did you mean ${near.join(' or ')}?` : 'see: composefs oci images, composefs images'
}

/** Of these names those that one may have meant by another, the nearest first. */
export function closest(name: string, names: readonly string[]): string[] {
  const wanted = bare(name)
  const near = names.flatMap((known) => {
    const distance = Math.min(...formsOf(bare(known)).map((form) => distanceOf(wanted, form)))
    return distance === Number.POSITIVE_INFINITY ? [] : { known, distance }
  })
  return near
    .sort((a, b) => a.distance - b.distance)
    .slice(0, maxSuggestions)
    .map(({ known }) => known)
}

/** Without the transport and the tag that is meant where none is given, and no longer than names can be. */
const bare = (name: string): string =>
  name
    .replace(/^[a-z-]+:(?:\/\/)?(?=.*\/)/, '')
    .replace(/:latest$/, '')
    .toLowerCase()
    .slice(0, 255)

/** What people may call an image for short: `quay.io/os/fedora:42`, `fedora:42`, `fedora`. */
function formsOf(name: string): string[] {
  const last = name.slice(name.lastIndexOf('/') + 1)
  return [name, last, last.replace(/:.*$/, '')].filter((form) => form !== '')
}

/** Infinite for words that have little to do with each other. */
function distanceOf(wanted: string, form: string): number {
  const limit = wanted.length === 1 ? 0 : Math.max(1, Math.floor(wanted.length / 3))
  const changes = editDistance(wanted, form)
  if (changes <= limit) return changes
  const part = Math.min(wanted.length, form.length) > 1 && (form.includes(wanted) || wanted.includes(form))
  return part ? limit : Number.POSITIVE_INFINITY
}

/** How many letters must be put in, taken out, changed, or swapped with their neighbour. */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const ways = [last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1)]
      row.push(Math.min(...ways, swapped ? before[j - 2]! + 1 : Number.POSITIVE_INFINITY))
    }
    before = last
    last = row
  }
  return last[b.length]!
}
