/**
 * How much may come out of compressed data.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'

/** Limits of an {@link OutputBudget}. */
export interface OutputLimits {
  /** Most bytes of output. Default: no limit. */
  readonly maxOutput?: number | undefined
  /** Most bytes of output for each byte of input, looked at once there are more than `freeOutput`. Default 300. */
  readonly maxRatio?: number | undefined
  /**
   * Bytes of output that `maxRatio` does not concern. Default 4 GiB: a file of zeros, such as the image of an empty disk,
   * is honest, and packed 1,000 to one by gzip, 30,000 to one by zstd.
   */
  readonly freeOutput?: number | undefined
}

const defaultMaxRatio = 300
const defaultFreeOutput = 4 * 2 ** 30

/** Limits of all layers of an image together: more than one of them may be as large as one may be. */
export function limitsOfImage(maxOutput: number | undefined, ofLayer: OutputLimits = {}): OutputLimits {
  const { maxRatio, freeOutput = defaultFreeOutput } = ofLayer
  return { maxOutput, maxRatio, freeOutput: 4 * freeOutput }
}

/** Counts what goes in and comes out, of one stream or of several together, and refuses more than its limits allow. */
export class OutputBudget {
  readonly #limits: OutputLimits
  readonly #what: string
  #read = 0
  #written = 0

  /**
   * @param what what to call the input in messages
   * @throws {@link ComposefsError} `ERR_ARGUMENT` for a limit that is none
   */
  constructor(limits: OutputLimits = {}, what = 'the input') {
    for (const name of ['maxOutput', 'maxRatio', 'freeOutput'] as const) {
      const value = limits[name]
      if (value !== undefined && !(value >= 0)) {
        throw new ComposefsError('ERR_ARGUMENT', `${name} is no limit: ${value}`, { stage: 'Decompressor' })
      }
    }
    this.#limits = limits
    this.#what = what
  }

  /** Bytes of input so far. */
  get read(): number {
    return this.#read
  }

  /** So many bytes more. @throws {@link ComposefsError} `ERR_COMPRESSION_BOMB` */
  add(read: number, written: number): void {
    this.#read += read
    this.#written += written
    const { maxOutput = Number.POSITIVE_INFINITY, maxRatio = defaultMaxRatio } = this.#limits
    const byRatio = Math.max(this.#limits.freeOutput ?? defaultFreeOutput, maxRatio * this.#read)
    if (this.#written <= maxOutput && this.#written <= byRatio) return
    const details = { stage: 'Decompressor', offset: this.#read, actual: `at least ${this.#written}` }
    throw this.#written > maxOutput
      ? new ComposefsError('ERR_COMPRESSION_BOMB', `${this.#what} expands to more than maxOutput bytes`, {
          ...details,
          expected: `at most ${maxOutput}`,
          hint: 'raise maxOutput (--max-output) if the input can be trusted',
        })
      : new ComposefsError('ERR_COMPRESSION_BOMB', `${this.#what} expands far more than honest data does`, {
          ...details,
          expected: `at most ${byRatio}`,
          hint: 'raise maxRatio (--max-ratio) or freeOutput if the input can be trusted',
        })
  }
}
