/**
 * Names of streams, images and refs: what may become a path inside a repository.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import type { Algorithm, ObjectId } from '../fsverity/object-id.ts'

/** Streams and images: each has links by id and, below `refs`, names that people give. */
export type RefKind = 'streams' | 'images'

const maxNameBytes = 255

/**
 * Checks a name below `refs`; slashes make directories.
 *
 * @throws {@link ComposefsError} `ERR_OCI_NAME` for what would be no file inside `refs`: an empty name or component,
 * `.`, `..`, an absolute path, NUL, a component above 255 bytes
 */
export function checkRefName(name: string): string {
  const problem = name === '' ? 'is empty' : name.startsWith('/') ? 'begins with a slash' : problemOf(name.split('/'))
  if (problem === undefined) return name
  throw new ComposefsError('ERR_OCI_NAME', `the name ${JSON.stringify(name)} ${problem}`, {
    hint: 'a name consists of components like those of a relative path, without "." and ".."',
  })
}

/**
 * Checks the id of a stream: the name of its link in `streams`.
 *
 * @throws {@link ComposefsError} `ERR_ARGUMENT` for a slash, and what a file cannot be called
 */
export function checkContentId(contentId: string): string {
  const problem = contentId.includes('/') || contentId === 'refs' ? 'is reserved for refs' : problemOf([contentId])
  if (problem === undefined) return contentId
  throw new ComposefsError('ERR_ARGUMENT', `the stream id ${JSON.stringify(contentId)} ${problem}`)
}

/** @throws {@link ComposefsError} `ERR_ALGORITHM_MISMATCH` */
export function checkAlgorithm(id: ObjectId, algorithm: Algorithm): ObjectId {
  if (id.algorithm === algorithm) return id
  throw new ComposefsError('ERR_ALGORITHM_MISMATCH', 'the id belongs to a repository with another hash', {
    path: id.hex,
    expected: algorithm,
    actual: id.algorithm,
  })
}

/**
 * The ref name of an OCI tag: `%` becomes `%25` and `/` becomes `%2F`, nothing else (spec: oci-image, section 8).
 *
 * @throws {@link ComposefsError} `ERR_OCI_NAME` for a tag that no file can be called, or that begins with `@`, which
 * marks digests
 * @example
 * ```ts
 * import { decodeTag, encodeTag } from 'composefs-streams/repository'
 *
 * encodeTag('quay.io/fedora:42') // 'quay.io%2Ffedora:42'
 * decodeTag('quay.io%2Ffedora:42') // 'quay.io/fedora:42'
 * ```
 */
export function encodeTag(tag: string): string {
  const encoded = tag.replaceAll('%', '%25').replaceAll('/', '%2F')
  const marked = tag.startsWith('@') ? 'begins with "@", which marks digests' : undefined
  const problem = tag === '' ? 'is empty' : (marked ?? problemOf([encoded]))
  if (problem === undefined) return encoded
  throw new ComposefsError('ERR_OCI_NAME', `the tag ${JSON.stringify(tag)} ${problem}`, { hint: 'choose another name' })
}

/** The tag that a ref name stands for. Other percent signs mean themselves. */
export function decodeTag(name: string): string {
  return name.replaceAll(/%2F|%25/g, (code) => (code === '%2F' ? '/' : '%'))
}

function problemOf(components: readonly string[]): string | undefined {
  for (const component of components) {
    if (component === '') return 'has an empty component'
    if (component === '.' || component === '..') return `has the component "${component}"`
    if (component.includes('\0')) return 'contains NUL'
    if (/\p{Surrogate}/u.test(component)) return 'contains half of a surrogate pair'
    if (Buffer.byteLength(component) > maxNameBytes) return `has a component above ${maxNameBytes} bytes`
  }
  return undefined
}
