/**
 * Decoders that are programs: xz and bzip2.
 *
 * @packageDocumentation
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { ComposefsError } from '../errors.ts'
import { type ByteDecoder, type DecoderOutput, StreamDecoder } from './byte-decoder.ts'
import { defaultMaxWindow } from './zstd-header.ts'

/** Options of {@link ExternalDecoder}. */
export interface ExternalOptions {
  /** Largest dictionary that xz may ask for, in bytes. Default 128 MiB. bzip2 needs 4 MB at most. */
  readonly maxWindow?: number
  /** Whether zero bytes may follow the data of bzip2. Default false; xz allows them by itself, in groups of four. */
  readonly allowPadding?: boolean
}

/** How a program ended. */
interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** It could not be started. */
  readonly error?: NodeJS.ErrnoException
}

const stage = 'ExternalDecoder'
/** What xz needs beside its dictionary, generously. */
const xzOverhead = 16 * 1024 * 1024
/** As much of the program's messages is kept. */
const messageLimit = 4096

/**
 * Sends the bytes through `xz -dc` or `bzip2 -dc`, whichever is named.
 *
 * Rejects with `ERR_COMPRESSION_UNSUPPORTED` if the program is not installed, `ERR_COMPRESSION_TRUNCATED`,
 * `ERR_COMPRESSION_DATA` with what the program said, `ERR_LIMIT` for a dictionary above `maxWindow`.
 */
export class ExternalDecoder implements ByteDecoder {
  readonly #program: 'xz' | 'bzip2'
  readonly #child: ChildProcess
  readonly #decoder: StreamDecoder
  readonly #exit: Promise<Exit>
  readonly #allowPadding: boolean
  #message = ''
  /** The last bytes of the input up to the last that is not zero, and how many zeros follow them. */
  #tail: Buffer = Buffer.alloc(0)
  #zeros = 0

  constructor(program: 'xz' | 'bzip2', output: DecoderOutput, options: ExternalOptions = {}) {
    this.#program = program
    this.#allowPadding = options.allowPadding ?? false
    const limit = Math.min(Math.ceil(options.maxWindow ?? defaultMaxWindow) + xzOverhead, Number.MAX_SAFE_INTEGER)
    const child = spawn(program, ['-dc'], {
      stdio: 'pipe',
      // Messages are read below. The limit goes by the environment since not every xz has the option for it.
      env: {
        ...process.env,
        LC_ALL: 'C',
        XZ_DEFAULTS: '',
        XZ_OPT: `--memlimit-decompress=${limit}`,
        BZIP2: '',
        BZIP: '',
      },
    })
    this.#child = child
    this.#exit = new Promise((resolve) => {
      child.once('error', (error) => resolve({ code: null, signal: null, error }))
      child.once('close', (code, signal) => resolve({ code, signal }))
    })
    child.stderr.on('data', (text: Buffer) => {
      this.#message = (this.#message + text.toString('latin1')).slice(0, messageLimit)
    })
    this.#decoder = new StreamDecoder({ writable: child.stdin, readable: child.stdout }, output, (error) => error)
  }

  write(chunk: Buffer): Promise<void> {
    if (this.#allowPadding && this.#program === 'bzip2') this.#remember(chunk)
    return this.#explained(this.#decoder.write(chunk))
  }

  async finish(): Promise<void> {
    await this.#explained(this.#decoder.finish())
    const exit = await this.#exit
    if (exit.code !== 0) throw this.#failure(exit)
    // bzip2 mentions what follows its data, and calls it success.
    if (/trailing garbage/.test(this.#message) && !bzip2EndsIn(this.#tail, this.#zeros)) throw this.#failure(exit)
  }

  #remember(chunk: Buffer): void {
    let end = chunk.length
    while (end > 0 && chunk[end - 1] === 0) end--
    if (end > 0) {
      this.#tail = Buffer.concat([this.#tail, Buffer.alloc(Math.min(this.#zeros, tailSize)), chunk.subarray(0, end)])
      this.#tail = Buffer.from(this.#tail.subarray(-tailSize))
      this.#zeros = 0
    }
    this.#zeros += chunk.length - end
  }

  destroy(): void {
    this.#decoder.destroy()
    this.#child.kill('SIGKILL')
  }

  /** A program that stops reads no more: what it said tells more than the broken pipe does. */
  async #explained(step: Promise<void>): Promise<void> {
    try {
      await step
    } catch (error) {
      if (error instanceof ComposefsError) throw error
      throw this.#failure(await this.#exit, error)
    }
  }

  #failure(exit: Exit, cause: unknown = exit.error): ComposefsError {
    const program = this.#program
    const details = { stage, ...(cause !== undefined && { cause }) }
    if (exit.error !== undefined) {
      return new ComposefsError('ERR_COMPRESSION_UNSUPPORTED', `${program} could not be started (${exit.error.code})`, {
        ...details,
        hint: `install the program ${program}, or compress the input with gzip or zstd`,
      })
    }
    const line = this.#message.split('\n').find((text) => text.trim() !== '')
    const said = line?.trim() ?? `it ended with ${exit.signal ?? `exit code ${exit.code}`}`
    if (/end of input|ends unexpectedly|unexpected end|file ends/i.test(said)) {
      return new ComposefsError('ERR_COMPRESSION_TRUNCATED', `the ${program} data ends too early (${said})`, {
        ...details,
        hint: 'the input was cut off; fetch it again',
      })
    }
    if (/memory usage limit/i.test(said)) {
      return new ComposefsError('ERR_LIMIT', `the ${program} data needs too much memory to decode (${said})`, {
        ...details,
        hint: 'raise maxWindow if the input can be trusted',
      })
    }
    return new ComposefsError('ERR_COMPRESSION_DATA', `the ${program} data is damaged (${said})`, {
      ...details,
      hint: 'fetch or make the input again',
    })
  }
}

/** More than the end of a bzip2 stream takes. */
const tailSize = 16

/**
 * Whether nothing but zeros follows the end of a bzip2 stream: its mark (48 bits that begin anywhere), a checksum of 32
 * bits, and what fills up the last byte.
 */
function bzip2EndsIn(tail: Buffer, zeros: number): boolean {
  const bytes = Buffer.concat([tail, Buffer.alloc(Math.min(zeros, tailSize))])
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const at = bits.lastIndexOf(endMark)
  const end = Math.ceil((at + endMark.length + 32) / 8)
  return at >= 0 && end >= tail.length && end <= bytes.length
}

const endMark = 0x177245385090n.toString(2).padStart(48, '0')
