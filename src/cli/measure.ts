import { closeSync, constants, openSync } from 'node:fs'
import { ComposefsError } from '../errors.ts'
import { measureVerity } from '../fsverity/kernel.ts'
import { FsVerityHasher } from '../fsverity/merkle.ts'
import { type Algorithm, ObjectId } from '../fsverity/object-id.ts'
import { systemError } from '../native/errno.ts'
import { native } from '../native/libc.ts'
import { openInput } from './input.ts'

/**
 * The fs-verity digest of a file, `-` for stdin: the one that the kernel keeps, where it keeps one of this hash, and
 * otherwise computed from the contents.
 */
export async function measureFile(path: string, algorithm: Algorithm): Promise<ObjectId> {
  if (path !== '-') {
    const kept = keptDigest(path, algorithm)
    if (kept !== undefined) return kept
  }
  const hasher = new FsVerityHasher(algorithm)
  for await (const chunk of openInput(path, 'the contents of a file')) hasher.update(chunk as Buffer)
  return hasher.digest()
}

function keptDigest(path: string, algorithm: Algorithm): ObjectId | undefined {
  if (native() === undefined) return undefined
  // A FIFO must not hold us up.
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    throw systemError(error, 'read', 'cannot open the file', path)
  }
  try {
    const measured = measureVerity(fd, algorithm, path)
    return measured instanceof ObjectId ? measured : undefined
  } catch (error) {
    if (error instanceof ComposefsError && error.code === 'ERR_ALGORITHM_MISMATCH') return undefined
    throw error
  } finally {
    closeSync(fd)
  }
}
