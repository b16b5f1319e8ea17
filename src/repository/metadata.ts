/**
 * `meta.json`: what a repository is (spec: repository, section 3; rs-0.9, section 1.1).
 *
 * @packageDocumentation
 */
import type { ErofsVersion } from '../erofs/format.ts'
import { ComposefsError } from '../errors.ts'
import type { Algorithm } from '../fsverity/object-id.ts'

/** The image formats that a repository keeps: of each image one in the default format, and one in every extra. */
export interface ErofsFormats {
  readonly default: ErofsVersion
  /** Ascending, without the default. */
  readonly extra: readonly ErofsVersion[]
}

/** Names of format features; unknown ones restrict what may be done with the repository. */
export interface Features {
  /** Unknown ones do not matter. */
  readonly compatible: readonly string[]
  /** Unknown ones forbid to write. */
  readonly readOnlyCompatible: readonly string[]
  /** Unknown ones forbid to open. */
  readonly incompatible: readonly string[]
}

/** The contents of `meta.json`. */
export interface Metadata {
  readonly version: number
  readonly algorithm: Algorithm
  readonly features: Features
  /** As written; undefined where the file does not say. {@link effectiveFormats} says what holds. */
  readonly erofsFormats: ErofsFormats | undefined
}

/** Name of the file in the root of the repository. */
export const metadataName = 'meta.json'

/** The newest version of the file that this package knows. */
const supportedVersion = 1
const blockSizeLog2 = 12
/** Set on repositories whose default is a V1 image, so that older tools keep their hands off. */
const v1Feature = 'v1_erofs'
const knownReadOnlyCompatible = [v1Feature]
const knownIncompatible: readonly string[] = []

/** What `init` writes. */
export function newMetadata(algorithm: Algorithm, erofsVersion: ErofsVersion): Metadata {
  return {
    version: supportedVersion,
    algorithm,
    features: { compatible: [], readOnlyCompatible: erofsVersion === 1 ? [v1Feature] : [], incompatible: [] },
    erofsFormats: { default: erofsVersion, extra: [] },
  }
}

/**
 * The formats that hold. A file that does not name any, or names V2 alone as repositories did that were brought up to
 * date, means V1 if it has the feature `v1_erofs` and V2 otherwise.
 */
export function effectiveFormats(metadata: Metadata): ErofsFormats {
  const { erofsFormats: formats, features } = metadata
  if (formats !== undefined && (formats.default !== 2 || formats.extra.length > 0)) return formats
  return { default: features.readOnlyCompatible.includes(v1Feature) ? 1 : 2, extra: [] }
}

/** The features that forbid writing because this package does not know them. */
export function unknownReadOnlyFeatures(metadata: Metadata): string[] {
  return metadata.features.readOnlyCompatible.filter((name) => !knownReadOnlyCompatible.includes(name))
}

/** The text of the file: JSON with two spaces of indent and a final newline. */
export function formatMetadata(metadata: Metadata): string {
  const { version, algorithm, features, erofsFormats } = metadata
  const json = {
    version,
    algorithm: `fsverity-${algorithm}-${blockSizeLog2}`,
    features: {
      compatible: features.compatible,
      'read-only-compatible': features.readOnlyCompatible,
      incompatible: features.incompatible,
    },
    ...(erofsFormats !== undefined && {
      erofs_formats: {
        default: erofsFormats.default,
        ...(erofsFormats.extra.length > 0 && { extra: erofsFormats.extra }),
      },
    }),
  }
  return `${JSON.stringify(json, undefined, 2)}\n`
}

/**
 * Reads the text of the file. Unknown keys are ignored.
 *
 * @param path for messages
 * @throws {@link ComposefsError} `ERR_REPOSITORY_METADATA` where it is malformed, newer than this package, or needs a
 * feature that this package does not know
 */
export function parseMetadata(text: string, path: string = metadataName): Metadata {
  const file = new MetadataReader(text, path)
  const version = file.version()
  if (version > supportedVersion) {
    throw file.error(
      `the repository has the format version ${version}`,
      `this program knows ${supportedVersion}: use a newer one`,
    )
  }
  const algorithm = file.algorithm()
  const features = file.features()
  const unknown = features.incompatible.filter((name) => !knownIncompatible.includes(name))
  if (unknown.length > 0) {
    throw file.error(
      `the repository needs features that this program lacks: ${unknown.join(', ')}`,
      'use a newer program',
    )
  }
  return { version, algorithm, features, erofsFormats: file.formats() }
}

type Json = Record<string, unknown>

/** Takes the parsed JSON apart, with errors that name the file. */
class MetadataReader {
  readonly root: Json
  readonly #path: string

  constructor(text: string, path: string) {
    this.#path = path
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (cause) {
      throw this.error('the file is not JSON', 'restore it from a backup, or make a new repository with init', cause)
    }
    this.root = this.#object(value, 'the file')
  }

  error(what: string, hint?: string, cause?: unknown): ComposefsError {
    return new ComposefsError('ERR_REPOSITORY_METADATA', what, {
      path: this.#path,
      ...(hint !== undefined && { hint }),
      cause,
    })
  }

  version(): number {
    const { version } = this.root
    return this.#integer(version, 'version', Number.MAX_SAFE_INTEGER)
  }

  /** `fsverity-<hash>-<log2 of the block size>`. */
  algorithm(): Algorithm {
    const { algorithm: value } = this.root
    const match = typeof value === 'string' ? /^fsverity-(.*)-([0-9]+)$/.exec(value) : null
    if (match === null) throw this.error(`algorithm must be like "fsverity-sha512-12", and is ${JSON.stringify(value)}`)
    if (Number(match[2]) !== blockSizeLog2) {
      throw this.error(`fs-verity blocks of 2^${match[2]} bytes are not supported`, 'only 2^12 is')
    }
    const hash = match[1]
    if (hash === 'sha256' || hash === 'sha512') return hash
    throw this.error(`the hash ${JSON.stringify(hash)} is not supported`, 'sha256 and sha512 are')
  }

  features(): Features {
    const { features: value = {} } = this.root
    const features = this.#object(value, 'features')
    return {
      compatible: this.#strings(features, 'compatible'),
      readOnlyCompatible: this.#strings(features, 'read-only-compatible'),
      incompatible: this.#strings(features, 'incompatible'),
    }
  }

  formats(): ErofsFormats | undefined {
    const { erofs_formats: value } = this.root
    if (value === undefined || value === null) return undefined
    const { default: first, extra = [] } = this.#object(value, 'erofs_formats')
    if (!Array.isArray(extra)) throw this.error('erofs_formats.extra must be an array')
    const preferred = this.#format(first, 'default')
    const others = new Set(extra.map((item) => this.#format(item, 'extra')))
    return { default: preferred, extra: [...others].filter((version) => version !== preferred).sort() }
  }

  #format(value: unknown, key: string): ErofsVersion {
    return this.#integer(value, `erofs_formats.${key}`, 2) as ErofsVersion
  }

  #integer(value: unknown, name: string, max: number): number {
    if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= max) return value as number
    throw this.error(`${name} must be an integer from 0 to ${max}, and is ${JSON.stringify(value)}`)
  }

  #object(value: unknown, name: string): Json {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
    throw this.error(`${name} must be a JSON object`)
  }

  #strings(object: Json, key: string): string[] {
    const value = object[key] ?? []
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
    throw this.error(`features.${key} must be an array of strings`)
  }
}
