/**
 * Files that people name for a result: what has the name keeps it until the result is whole.
 *
 * @packageDocumentation
 */
import {
  closeSync,
  constants,
  createWriteStream,
  fchmodSync,
  fchownSync,
  fstatSync,
  openSync,
  readlinkSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs'
import { Socket } from 'node:net'
import { constants as osConstants } from 'node:os'
import { dirname, resolve } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { isatty, WriteStream } from 'node:tty'
import { ComposefsError } from '../errors.ts'
import { errnoException, isErrno, systemError } from '../native/errno.ts'
import { TemporaryFiles } from './temporary.ts'

/** Begins the names of files that are not whole yet, where they need a name. */
const temporaryPrefix = '.composefs-'
/** Milliseconds between two looks whether somebody reads a FIFO. */
const readerWait = 50
/** Symlinks that are followed to where a file lies. */
const maxSymlinks = 40

/**
 * A file that is written beside the one that has its name, and takes its place once all of it is on disk. Devices, FIFOs
 * and what is open already (`/dev/stdout`) are written as they are.
 *
 * @example
 * ```ts
 * import { OutputFile } from 'composefs-streams/repository'
 *
 * const file = new OutputFile('image.cfs')
 * file.stream.write('contents')
 * await file.commit()
 * ```
 */
export class OutputFile {
  /** Takes the contents. */
  readonly stream: Writable
  readonly #path: string
  readonly #finish: () => Promise<void>

  /** @throws {@link ComposefsError} `ERR_NOT_FOUND` for a missing directory, `ERR_NO_SPACE`, `ERR_IO` */
  constructor(path: string) {
    this.#path = path
    try {
      const place = placeOf(path)
      const { stream, finish } = place === undefined ? inPlace(path) : beside(place)
      this.stream = stream
      this.#finish = finish
    } catch (error) {
      throw outputError(error, path)
    }
    // Who waits for the end hears of it.
    this.stream.on('error', () => {})
  }

  /** Ends the contents, and gives them the name. @throws {@link ComposefsError} `ERR_NO_SPACE`, `ERR_IO` */
  async commit(): Promise<void> {
    try {
      if (!this.stream.writableEnded) this.stream.end()
      await this.#finish()
    } catch (error) {
      throw outputError(error, this.#path)
    } finally {
      await this.discard()
    }
  }

  /** Lets go of everything: without a {@link commit} nothing has changed. May be called again. */
  async discard(): Promise<void> {
    this.stream.destroy()
    await finished(this.stream).catch(() => {})
  }
}

/**
 * Writes a file as {@link OutputFile} does.
 *
 * @throws {@link ComposefsError} `ERR_NOT_FOUND` for a missing directory, `ERR_NO_SPACE`, `ERR_IO`; the reason of
 * `signal`. The old file is left alone then.
 */
export async function writeOutputFile(path: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  const file = new OutputFile(path)
  const stop = (): void => void file.stream.destroy(signal?.reason as Error)
  signal?.addEventListener('abort', stop)
  try {
    file.stream.end(bytes)
    await file.commit()
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : error
  } finally {
    signal?.removeEventListener('abort', stop)
    await file.discard()
  }
}

/** Where a file lies, and what is there. */
interface Place {
  readonly path: string
  readonly present: Stats | undefined
}

interface Output {
  readonly stream: Writable
  /** What is left to do once everything was handed to the stream. */
  finish(): Promise<void>
}

/** Where the symlinks of a path lead; undefined where it is no regular file, or one that is open already. */
function placeOf(path: string): Place | undefined {
  const present = statSync(path, { throwIfNoEntry: false })
  if (present?.isDirectory() === true || path.endsWith('/')) throw errnoException(osConstants.errno.EISDIR, 'open')
  if (present?.isFile() === false) return undefined
  let name = resolve(path)
  for (let left = maxSymlinks; left > 0; left--) {
    if (realpathSync(dirname(name)).startsWith('/proc/')) return undefined
    try {
      name = resolve(dirname(name), readlinkSync(name))
    } catch (error) {
      if (!isErrno(error, 'EINVAL', 'ENOENT')) throw error
      return { path: name, present }
    }
  }
  throw errnoException(osConstants.errno.ELOOP, 'readlink')
}

function beside({ path, present }: Place): Output {
  const file = new TemporaryFiles(dirname(path), temporaryPrefix).create(0o666)
  if (present !== undefined) keepOwner(file.fd, present)
  let writing = Promise.resolve()
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      writing = file.append(chunk).then(() => done(), done)
    },
    destroy: (error, done) => {
      // While it is being written its number must not become that of another file.
      void writing.then(() => {
        file.close()
        done(error)
      })
    },
    autoDestroy: false,
  })
  const finish = async (): Promise<void> => {
    await finished(stream)
    await file.publish(path)
  }
  return { stream, finish }
}

/** The new file is as much open to others as the old one. */
function keepOwner(fd: number, { uid, gid, mode }: Stats): void {
  try {
    const now = fstatSync(fd)
    if (now.uid !== uid || now.gid !== gid) fchownSync(fd, uid, gid)
  } catch (error) {
    // Only root gives files away.
    if (!isErrno(error, 'EPERM')) throw error
  }
  fchmodSync(fd, mode & 0o7777)
}

function inPlace(path: string): Output {
  const stop = new AbortController()
  const stream = new PassThrough()
  const written = openInPlace(path, stop.signal).then((output) => pipeline(stream, output))
  written.catch((error: unknown) => stream.destroy(error as Error))
  stream.once('close', () => stop.abort())
  return { stream, finish: () => written }
}

async function openInPlace(path: string, signal: AbortSignal): Promise<Writable> {
  // Opening a FIFO would wait for its reader, on a thread that the process in turn waits for when it ends.
  const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY
  for (;;) {
    try {
      const fd = openSync(path, flags)
      if (fstatSync(fd).isFIFO()) return new Socket({ fd, readable: false, writable: true })
      if (isatty(fd)) return new WriteStream(fd)
      closeSync(fd)
      return createWriteStream(path)
    } catch (error) {
      if (!isErrno(error, 'ENXIO') || !statSync(path).isFIFO()) throw error
      await sleep(readerWait, undefined, { signal })
    }
  }
}

function outputError(error: unknown, path: string): ComposefsError {
  if (isErrno(error, 'ENOENT', 'ENOTDIR')) {
    const hint = 'make it first, or name another place'
    return new ComposefsError('ERR_NOT_FOUND', 'the directory of the output is not there', { path, hint, cause: error })
  }
  if (isErrno(error, 'EACCES', 'EPERM', 'EROFS', 'EBUSY')) {
    const what = `cannot write beside the output (${(error as NodeJS.ErrnoException).code})`
    const hint = 'name a file in a directory that you may write to'
    return new ComposefsError('ERR_IO', what, { path, hint, cause: error })
  }
  return systemError(error, 'write', 'cannot write the output', path)
}
