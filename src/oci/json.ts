/**
 * Reading JSON that comes from elsewhere: every field is checked before it is used, and errors name it.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'

/** What to do about a document that cannot be used. */
const badJson = 'it was damaged, or what made it is at fault; make the image or the archive again'

/** A JSON object whose fields are yet to be checked. */
export type JsonObject = Readonly<Record<string, unknown>>

/** A document and what to call it in messages. */
export class JsonReader {
  readonly #what: string

  constructor(what: string) {
    this.#what = what
  }

  /** Parses bytes. @throws {@link ComposefsError} `ERR_OCI_JSON` */
  parse(bytes: Uint8Array): unknown {
    try {
      return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    } catch (cause) {
      throw new ComposefsError('ERR_OCI_JSON', `the ${this.#what} is not JSON`, {
        hint: badJson,
        cause,
      })
    }
  }

  object(value: unknown, field = ''): JsonObject {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject
    throw this.#wrong(field, 'an object')
  }

  array(value: unknown, field: string): readonly unknown[] {
    if (Array.isArray(value)) return value
    throw this.#wrong(field, 'an array')
  }

  string(value: unknown, field: string): string {
    if (typeof value === 'string') return value
    throw this.#wrong(field, 'a string')
  }

  optionalString(value: unknown, field: string): string | undefined {
    return value === undefined || value === null ? undefined : this.string(value, field)
  }

  size(value: unknown, field: string): number {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    throw this.#wrong(field, 'a size in bytes')
  }

  digest(value: unknown, field: string): string {
    const digest = this.string(value, field)
    if (/^sha256:[0-9a-f]{64}$/.test(digest)) return digest
    throw this.#wrong(field, 'a digest (sha256: and 64 lower-case hex digits)')
  }

  strings(value: unknown, field: string): string[] {
    return this.array(value, field).map((item, i) => this.string(item, `${field}[${i}]`))
  }

  /** @param field empty for the whole document */
  #wrong(field: string, wanted: string): ComposefsError {
    const where = field === '' ? `the ${this.#what}` : `${field} of the ${this.#what}`
    return new ComposefsError('ERR_OCI_JSON', `${where} is not ${wanted}`, {
      hint: badJson,
    })
  }
}
