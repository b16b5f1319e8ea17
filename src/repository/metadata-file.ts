/**
 * `meta.json` on disk: read, written once, and made where there is none yet.
 *
 * @packageDocumentation
 */
import { closeSync, fsyncSync, openSync, readdirSync } from 'node:fs'
import { ComposefsError } from '../errors.ts'
import { measureVerity } from '../fsverity/kernel.ts'
import { type Algorithm, ObjectId } from '../fsverity/object-id.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { native } from '../native/libc.ts'
import { openRegular, readRegular } from '../native/regular-file.ts'
import { formatMetadata, type Metadata, metadataName, parseMetadata } from './metadata.ts'
import { syncDirectoryNow } from './sync.ts'
import { type TemporaryFile, TemporaryFiles } from './temporary.ts'
import { protectFile, type VerityPolicy } from './verity.ts'

const maxFileSize = 1024 * 1024
/** Begins the name of the file while it is written. */
export const temporaryMetadataPrefix = '.meta-'

/**
 * Reads the file; undefined if there is none.
 *
 * @throws {@link ComposefsError} what `parseMetadata` throws, `ERR_IO`
 */
export function readMetadata(root: string): Metadata | undefined {
  const path = `${root}/${metadataName}`
  let text: string
  try {
    text = readRegular(path, maxFileSize).toString('utf8')
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    if (error instanceof ComposefsError) throw unusable(error.message, error)
    throw systemError(error, 'read', 'cannot read the metadata of the repository', path)
  }
  return parseMetadata(text, path)
}

function unusable(why: string, cause: ComposefsError): ComposefsError {
  return new ComposefsError('ERR_REPOSITORY_METADATA', `the metadata of the repository cannot be read: ${why}`, {
    cause,
  })
}

/**
 * Writes the file where there is none, synced and, as the policy says, with fs-verity: that is what makes a repository
 * require it. Answers false, and changes nothing, if the file exists.
 *
 * @throws {@link ComposefsError} `ERR_REPOSITORY_VERITY`, `ERR_NATIVE_MISSING`, `ERR_NO_SPACE`,
 * `ERR_REPOSITORY_READONLY`, `ERR_IO`
 */
export function writeMetadata(root: string, metadata: Metadata, verity: VerityPolicy): boolean {
  const path = `${root}/${metadataName}`
  const file = makeMetadata(root, metadata, verity)
  try {
    const written = file.link(path)
    file.close()
    syncDirectoryNow(root)
    return written
  } catch (error) {
    throw systemError(error, 'write', 'cannot write the metadata of the repository', path)
  } finally {
    file.close()
  }
}

/** The file before it has its name. Throws as {@link writeMetadata} does. */
export function makeMetadata(root: string, metadata: Metadata, verity: VerityPolicy): TemporaryFile {
  const path = `${root}/${metadataName}`
  let file: TemporaryFile | undefined
  try {
    file = new TemporaryFiles(root, temporaryMetadataPrefix).create()
    file.write(Buffer.from(formatMetadata(metadata)))
    fsyncSync(file.fd)
    if (verity === 'required' || (verity === 'wanted' && native() !== undefined)) {
      if (!protectFile(file, metadata.algorithm, path) && verity === 'required') throw unsupported(root)
    }
    return file
  } catch (error) {
    file?.close()
    throw systemError(error, 'write', 'cannot write the metadata of the repository', path)
  }
}

/**
 * Whether a file has fs-verity. Without koffi only a guess is possible: root cannot open such a file for writing
 * (EPERM); whoever may not write to it anyway cannot tell, and need not.
 *
 * @throws {@link ComposefsError} `ERR_ALGORITHM_MISMATCH`, `ERR_IO`
 */
export function hasVerity(path: string, algorithm: Algorithm): boolean {
  let fd: number
  const measurable = native() !== undefined
  try {
    fd = measurable ? openRegular(path).fd : openSync(path, 'r+')
  } catch (error) {
    if (measurable) throw systemError(error, 'read', 'cannot open the file', path)
    return isErrno(error, 'EPERM')
  }
  try {
    return measurable && measureVerity(fd, algorithm, path) instanceof ObjectId
  } finally {
    closeSync(fd)
  }
}

/** Any object of the repository, found by its name alone: it tells the algorithm of one that has no metadata. */
export function anyObject(root: string): ObjectId | undefined {
  for (const directory of names(`${root}/objects`)) {
    if (!/^[0-9a-f]{2}$/.test(directory)) continue
    for (const name of names(`${root}/objects/${directory}`)) {
      const id = ObjectId.fromPath(`${directory}/${name}`)
      if (id !== undefined) return id
    }
  }
  return undefined
}

function names(path: string): string[] {
  try {
    return readdirSync(path).sort()
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return []
    throw systemError(error, 'read', 'cannot list objects', path)
  }
}

function unsupported(path: string): ComposefsError {
  return new ComposefsError('ERR_REPOSITORY_VERITY', 'the file system does not support fs-verity', {
    path,
    hint: 'pass --insecure (insecure: true), or choose ext4 with the verity feature, or btrfs',
  })
}
