/**
 * Limits of tar reading, and what becomes of odd but readable tars: told through a callback, or refused.
 *
 * @packageDocumentation
 */
import { type ByteString, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'

/** What can be odd about a tar that is read nevertheless. The codes are API; the texts are not. */
export const tarWarnings = {
  TAR_END_MISSING: 'the archive does not end with two zero blocks',
  TAR_ZERO_BLOCK: 'a single zero block stands where two would end the archive',
  TAR_SIZE_IGNORED: 'an entry that has no contents states a size, but the next header follows directly',
  TAR_BODY_IGNORED: 'an entry that can have no contents has a body; it is kept with the layer and means nothing',
  TAR_TYPE_UNKNOWN: 'an entry has a type that no image can hold; the layer can be stored, but no image made of it',
} as const

/** One of the keys of {@link tarWarnings}. */
export type TarWarningCode = keyof typeof tarWarnings

/** One oddity and where it is. */
export interface TarWarning {
  readonly code: TarWarningCode
  readonly message: string
  /** Byte offset in the archive. */
  readonly offset: number
  /** Printable path of the entry, where it is known. */
  readonly path?: string
}

/** What TarDecoder and PaxParser both understand. Give the same to both. */
export interface TarOptions {
  /** Most bytes that extension headers may hold for one entry. Default 1 MiB, at most 1 GiB. */
  readonly maxExtensionSize?: number
  /** Told about odd but readable input. */
  readonly onWarning?: (warning: TarWarning) => void
  /** Refuses such input instead (`ERR_TAR_STRICT`). Default false. */
  readonly strict?: boolean
}

/** What PaxParser understands beside {@link TarOptions}. */
export interface PaxParserOptions extends TarOptions {
  /** Most extension headers before one entry. Default 16. */
  readonly maxExtensionHeaders?: number
}

/** Default of `maxExtensionSize`: what the reference implementation allows. */
export const defaultMaxExtensionSize: number = 1024 * 1024

/**
 * Tells about one oddity.
 *
 * @throws {@link ComposefsError} `ERR_TAR_STRICT` where `strict` was asked for.
 */
export function warn(options: TarOptions, code: TarWarningCode, offset: number, entry?: ByteString): void {
  const where = entry === undefined ? {} : { path: printable(entry) }
  if (options.strict === true) {
    throw new ComposefsError('ERR_TAR_STRICT', `${tarWarnings[code]} (${code})`, {
      ...where,
      offset,
      hint: 'read it without strict: true to have it told as a warning only',
    })
  }
  options.onWarning?.({ code, message: tarWarnings[code], offset, ...where })
}

/**
 * Checks a limit that a caller has set.
 *
 * @throws {@link ComposefsError} `ERR_ARGUMENT` unless it is left out, or a whole number from 0 to 2^30.
 */
export function checkLimit(name: string, value: number | undefined): void {
  if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= 2 ** 30)) return
  throw new ComposefsError('ERR_ARGUMENT', `${name} must be a whole number from 0 to 1073741824, not ${value}`)
}

/**
 * Checks what extension headers declare, before memory is taken for it.
 *
 * @throws {@link ComposefsError} `ERR_TAR_EXTENSION_SIZE`.
 */
export function checkExtensionSize(size: number, options: TarOptions, offset: number, stage: string): void {
  const max = options.maxExtensionSize ?? defaultMaxExtensionSize
  if (size <= max) return
  throw new ComposefsError('ERR_TAR_EXTENSION_SIZE', 'the extension headers of one entry are too large', {
    stage,
    offset,
    expected: `at most ${max} bytes`,
    actual: size,
    hint: 'raise maxExtensionSize, for TarDecoder and PaxParser, if this archive can be trusted',
  })
}
