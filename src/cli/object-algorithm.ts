import { type Algorithm, ObjectId } from '../fsverity/object-id.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { inodes } from '../tree/transform.ts'

/** The hash that names the objects of a tree, if it has any. */
export function objectAlgorithm(fileSystem: FileSystem): Algorithm | undefined {
  for (const inode of inodes(fileSystem)) {
    if (inode.kind !== 'leaf' || inode.content.type !== 'external') continue
    const { id, path } = inode.content
    const object = id ?? ObjectId.fromPath(path ?? '')
    if (object !== undefined) return object.algorithm
  }
  return undefined
}
