/**
 * Contents of a regular file on disk.
 *
 * @packageDocumentation
 */
import { closeSync, ftruncateSync } from 'node:fs'
import { ComposefsError } from '../errors.ts'
import { ObjectId } from '../fsverity/object-id.ts'
import { native } from '../native/libc.ts'
import { openRegular } from '../native/regular-file.ts'
import type { ObjectDirectory } from '../repository/objects.ts'
import type { TemporaryFile } from '../repository/temporary.ts'
import type { LeafContent } from '../tree/inode.ts'

/** How contents are brought from the object store to a file. */
export interface ContentOptions {
  /** Compare every object with its id. Default true; where the repository requires fs-verity, the kernel does it. */
  readonly verify?: boolean
  /** Share blocks with the object store where the file system can; otherwise, or where it cannot, copy. Default true. */
  readonly reflink?: boolean
}

type RegularContent = Extract<LeafContent, { readonly type: 'inline' | 'external' }>

/** Objects up to this size are read at once: a stream costs more than the memory. */
const readLimit = 1024 * 1024

/** Writes the contents of regular files, and counts them. */
export class ContentWriter {
  /** Bytes in files so far, and those of them that are shared with the object store. */
  bytes = 0
  reflinkedBytes = 0
  readonly #objects: ObjectDirectory | undefined
  readonly #verify: boolean
  #reflink: boolean

  constructor(objects: ObjectDirectory | undefined, { verify = true, reflink = true }: ContentOptions) {
    this.#objects = objects
    this.#verify = verify
    this.#reflink = reflink
  }

  /**
   * Fills a new file.
   *
   * @throws {@link ComposefsError} what reading an object throws, `ERR_SIZE_MISMATCH`; `ERR_ARGUMENT` where contents are
   * objects and there is no store; what `fs` throws
   */
  async write(file: TemporaryFile, content: RegularContent, signal: AbortSignal): Promise<void> {
    if (content.type === 'inline') {
      file.write(content.bytes)
      this.bytes += content.bytes.length
      return
    }
    const { size } = content
    const id = objectOf(content)
    if (id === undefined) {
      ftruncateSync(file.fd, size)
      return
    }
    await this.#writeObject(file, id, size, signal)
    this.bytes += size
  }

  async #writeObject(file: TemporaryFile, id: ObjectId, size: number, signal: AbortSignal): Promise<void> {
    const objects = this.#objects
    if (objects === undefined) {
      throw new ComposefsError('ERR_ARGUMENT', 'the contents are an object, and there is no object store', {
        hint: 'name a repository (--repo) or an object store (--basedir)',
      })
    }
    const actual = objects.sizeOf(id)
    if (actual !== size) {
      throw new ComposefsError('ERR_SIZE_MISMATCH', 'the object does not have the size that the image says', {
        path: objects.pathOf(id),
        expected: size,
        actual,
      })
    }
    if (size > 0 && this.#reflink && this.#clone(file, objects.pathOf(id))) {
      if (this.#verify) objects.verify(id)
      this.reflinkedBytes += size
      return
    }
    const options = { verify: this.#verify }
    if (size <= readLimit) {
      file.write(objects.read(id, options))
      return
    }
    for await (const chunk of objects.open(id, options)) {
      signal.throwIfAborted()
      file.write(chunk as Buffer)
    }
  }

  /** Once a file cannot be cloned, none is tried any more: all are in the same two places. */
  #clone(file: TemporaryFile, object: string): boolean {
    const libc = native()
    if (libc === undefined) return false
    const from = openRegular(object).fd
    try {
      this.#reflink = libc.ficlone(file.fd, from) === 0
    } finally {
      closeSync(from)
    }
    return this.#reflink
  }
}

/**
 * The object that holds the contents; undefined for a sparse file. An object that is named by a path alone has to be one
 * that the path, being of an object store, identifies: any other could be a file of this machine.
 */
function objectOf({ id, path }: Extract<LeafContent, { readonly type: 'external' }>): ObjectId | undefined {
  if (id !== undefined || path === undefined || path === null) return id
  const named = ObjectId.fromPath(path)
  if (named !== undefined) return named
  throw new ComposefsError('ERR_PATH_INVALID', 'the contents are said to be in a file that is no object', {
    path,
    hint: 'objects are named XX/REST, by their digest',
  })
}
