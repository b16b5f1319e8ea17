/**
 * The one error class of this package, and the closed table of its codes.
 *
 * @packageDocumentation
 */
import { escapeControls } from './escape.ts'

/** Every code that {@link ComposefsError} can carry, with what it means. The codes are API; the texts are not. */
export const errorCodes = {
  // input and its envelope
  ERR_ARCHIVE_PROGRESS_TEXT: 'a program mixed its progress text into the archive',
  ERR_ARCHIVE_UNKNOWN: 'the input is no archive that can be imported',
  ERR_ARCHIVE_INCOMPLETE: 'the archive ends before everything its manifest names was seen',
  ERR_ARCHIVE_MEMBER: 'a member of the archive contradicts its name or the manifest',
  ERR_COMPRESSION_DATA: 'compressed data is damaged',
  ERR_COMPRESSION_TRUNCATED: 'compressed data ends too early',
  ERR_COMPRESSION_BOMB: 'compressed data expands beyond the limit',
  ERR_COMPRESSION_UNSUPPORTED: 'no decoder for this compression is available',
  ERR_DIGEST_MISMATCH: 'the bytes do not have the promised digest',
  ERR_DIGEST_SYNTAX: 'a digest or object id is not well-formed',
  ERR_SIZE_MISMATCH: 'the bytes do not have the promised size',
  ERR_LIMIT: 'a configured limit was reached',
  // tar and PAX
  ERR_TAR_CHECKSUM: 'a tar header does not match its checksum',
  ERR_TAR_TRUNCATED: 'the tar ends in the middle of an entry',
  ERR_TAR_NUMBER: 'a number of a tar header cannot be read',
  ERR_TAR_NAME: 'an entry has no usable name',
  ERR_TAR_TYPE: 'an entry has a type that images cannot hold',
  ERR_TAR_SPARSE: 'sparse tar entries are not supported',
  ERR_TAR_EXTENSION: 'an extension header stands alone or twice',
  ERR_TAR_EXTENSION_SIZE: 'the extension headers of one entry are too large',
  ERR_TAR_STRICT: 'a tar is odd, and strict reading was asked for',
  ERR_PAX_RECORD: 'a PAX record is malformed',
  ERR_PAX_VALUE: 'the value of a PAX record cannot be used',
  // splitstream
  ERR_SPLITSTREAM_INVALID: 'a splitstream is damaged',
  ERR_SPLITSTREAM_OLD: 'a splitstream has the format of 2024',
  ERR_SPLITSTREAM_ALGORITHM: 'a splitstream belongs to a repository with another hash',
  ERR_SPLITSTREAM_CONTENT_TYPE: 'a splitstream holds another kind of content',
  ERR_SPLITSTREAM_SMALL_EXTERNAL: 'a splitstream stores a small file externally',
  ERR_SPLITSTREAM_LARGE_INLINE: 'a splitstream stores a large file inline',
  // dumpfile
  ERR_DUMPFILE_SYNTAX: 'a line of the dumpfile cannot be read',
  ERR_DUMPFILE_VALUE: 'a field of the dumpfile has a value that is not allowed',
  // tree
  ERR_PATH_INVALID: 'a path is not allowed',
  ERR_NAME_TOO_LONG: 'a name is longer than 255 bytes',
  ERR_SYMLINK_TARGET: 'a symlink has no target, or one that is too long',
  ERR_PARENT_MISSING: 'the parent directory of an entry does not exist',
  ERR_PARENT_NOT_DIRECTORY: 'the parent of an entry is not a directory',
  ERR_HARDLINK_TARGET: 'the target of a hardlink is missing or a directory',
  ERR_ENTRY_EXISTS: 'the path exists already',
  ERR_ROOT_NOT_DIRECTORY: 'the root is not a directory',
  ERR_USR_MISSING: 'the image has no /usr directory to take the root metadata from',
  ERR_NOT_FOUND: 'what was asked for does not exist',
  ERR_NOT_DIRECTORY: 'what was asked for is not a directory',
  // directory on disk
  ERR_SOURCE_CHANGED: 'a file or directory changed while it was read',
  ERR_SOURCE_MOUNT: 'a directory goes on in another file system',
  // EROFS
  ERR_EROFS_LIMIT: 'the tree exceeds a limit of the image format',
  ERR_EROFS_INVALID: 'the image is damaged',
  ERR_EROFS_VERSION: 'the image format version is not supported',
  // repository
  ERR_REPOSITORY_MISSING: 'there is no repository at this place',
  ERR_REPOSITORY_EXISTS: 'a repository with another configuration is at this place',
  ERR_REPOSITORY_METADATA: 'the meta.json of the repository cannot be used',
  ERR_REPOSITORY_READONLY: 'the repository cannot be written to',
  ERR_REPOSITORY_VERITY: 'fs-verity is required and not available',
  ERR_REPOSITORY_UNNAMED: 'nothing in the repository has a name, and all of it would be removed',
  ERR_REPOSITORY_CORRUPT: 'an object or link of the repository is damaged',
  ERR_ALGORITHM_MISMATCH: 'the repository uses another hash',
  ERR_NO_SPACE: 'the file system is full',
  ERR_NATIVE_MISSING: 'an optional native package is not installed',
  // OCI
  ERR_OCI_JSON: 'a manifest, index or config cannot be used',
  ERR_OCI_PLATFORM: 'no image for the wanted platform',
  ERR_OCI_MEDIA_TYPE: 'the media type is not supported',
  ERR_OCI_NAME: 'a tag or reference name is not allowed',
  ERR_OCI_NOT_FOUND: 'the image is not in the repository',
  ERR_OCI_REFERENCE: 'a reference to an image cannot be read',
  ERR_OCI_TRANSPORT: 'the program that reads this kind of image storage failed',
  // SELinux
  ERR_SELINUX_POLICY: 'the SELinux policy of a tree cannot be used',
  ERR_SELINUX_REGEX: 'a regular expression of an SELinux policy cannot be used',
  // registries
  ERR_REGISTRY_NOT_FOUND: 'the registry does not have it',
  ERR_REGISTRY_UNAUTHORIZED: 'the registry wants credentials, or others',
  ERR_REGISTRY_FORBIDDEN: 'the registry does not allow it with these credentials',
  ERR_REGISTRY_RATE_LIMITED: 'the registry allows no more requests for now',
  ERR_REGISTRY_UNREACHABLE: 'the registry cannot be reached, or fails again and again',
  ERR_REGISTRY_CERTIFICATE: 'the certificate of the registry is not trusted',
  ERR_REGISTRY_STALLED: 'the registry sends nothing any more',
  ERR_REGISTRY_PROTOCOL: 'the registry answers with something that the protocol does not allow',
  ERR_REGISTRY_BLOCKED: 'the configuration of this machine forbids the registry',
  ERR_REGISTRY_CREDENTIALS: 'stored credentials cannot be read',
  ERR_REGISTRY_CONFIG: 'a registries.conf cannot be used',
  // the rest
  ERR_ARGUMENT: 'an argument is not allowed',
  ERR_INTERRUPTED: 'the user interrupted the work',
  ERR_IO: 'the operating system refused an operation',
  ERR_INTERNAL: 'a fault of this package',
  ERR_STREAM_ORDER: 'records arrived in an order that no stage produces',
} as const

/** One of the keys of {@link errorCodes}. */
export type ErrorCode = keyof typeof errorCodes

/** Where and what went wrong, as far as it is known. */
export interface ErrorDetails {
  /** Name of the stage, sink or command that noticed. */
  stage?: string
  /** Path of the entry or file concerned, printable. */
  path?: string
  /** Byte offset in the input of that stage. */
  offset?: number
  expected?: string | number
  actual?: string | number
  /** The next step for the person who reads the message. */
  hint?: string
  cause?: unknown
}

const brand: unique symbol = Symbol.for('composefs-streams.error')

/**
 * Every failure of this package. `code` is stable; `message` says what, where and, after a dash, what to try. Of the
 * details an error has those that are known, and no others.
 *
 * `instanceof ComposefsError` works across duplicate installations, since instances carry a registered symbol.
 *
 * @example
 * ```ts
 * import { ComposefsError } from 'composefs-streams/errors'
 *
 * const describe = (error: unknown) => (error instanceof ComposefsError ? error.code : 'unknown')
 * ```
 */
export class ComposefsError extends Error {
  readonly code: ErrorCode
  // A field that is declared alone makes no property: unknown details would show as undefined wherever errors are logged.
  declare readonly stage?: string
  declare readonly path?: string
  declare readonly offset?: number
  declare readonly expected?: string | number
  declare readonly actual?: string | number
  declare readonly hint?: string

  constructor(code: ErrorCode, what: string, details: ErrorDetails = {}) {
    super(compose(what, details), details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'ComposefsError'
    this.code = code
    Object.assign(this, known(details))
    Object.defineProperty(this, brand, { value: true })
  }

  /** The same failure as part of something larger: the message begins with `context` and a colon. Details stay. */
  within(context: string): ComposefsError {
    return Object.assign(new ComposefsError(this.code, `${context}: ${this.message}`, { cause: this }), known(this))
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: subclasses inherit this, and are told apart by their prototypes
    if (this !== ComposefsError) return super[Symbol.hasInstance](value)
    return typeof value === 'object' && value !== null && brand in value
  }
}

function known({ stage, path, offset, expected, actual, hint }: ErrorDetails): ErrorDetails {
  return {
    ...(stage !== undefined && { stage }),
    ...(path !== undefined && { path }),
    ...(offset !== undefined && { offset }),
    ...(expected !== undefined && { expected }),
    ...(actual !== undefined && { actual }),
    ...(hint !== undefined && { hint }),
  }
}

function compose(what: string, { path, offset, expected, actual, hint }: ErrorDetails): string {
  let text = what
  if (path !== undefined) text += `: ${path}`
  const values = [expected !== undefined && `expected ${expected}`, actual !== undefined && `got ${actual}`]
  if (values.some(Boolean)) text += ` (${values.filter(Boolean).join(', ')})`
  if (offset !== undefined) text += ` at byte ${offset}`
  if (hint !== undefined) text += ` — ${hint}`
  // Much of it may be what a registry or an archive says.
  return escapeControls(text)
}
