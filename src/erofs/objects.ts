/**
 * The objects that an image needs.
 */
import { ObjectId } from '../fsverity/object-id.ts'
import { atOnce, type Steps } from '../turns.ts'
import { damaged } from './damaged.ts'
import { readDirents } from './dirent-reader.ts'
import { fileType, slotSize } from './format.ts'
import { ImageView } from './image-view.ts'
import { InodeReader } from './inode-reader.ts'
import { parseMetacopy, parseRedirect } from './overlay.ts'
import { XattrReader } from './xattr-reader.ts'

/** Inodes that are read in one step. */
const stepSize = 512

/**
 * The ids of all objects that hold contents of an image, sorted, each once: those that its files are verified against,
 * and for files that are not verified those that their paths name. No tree is made.
 *
 * @throws {@link ComposefsError} `ERR_EROFS_INVALID`, `ERR_EROFS_VERSION`.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs'
 * import { imageObjects } from 'composefs-streams/erofs'
 *
 * for (const id of imageObjects(readFileSync('image.cfs'))) console.log(id.path)
 * ```
 */
export function imageObjects(image: Buffer): ObjectId[] {
  return atOnce(imageObjectsSteps(image))
}

/** The work of {@link imageObjects}. */
export function* imageObjectsSteps(image: Buffer): Steps<ObjectId[]> {
  let count = 0
  const source = new ImageView(image)
  const inodes = new InodeReader(source)
  const xattrs = new XattrReader(source)
  const objects = new Map<string, ObjectId>()
  const pending = [source.rootNid]
  const seen = new Uint8Array(image.length / slotSize)
  seen[source.rootNid] = 1
  for (let nid = pending.pop(); nid !== undefined; nid = pending.pop()) {
    if (++count % stepSize === 0) yield
    const inode = inodes.read(nid)
    if (inode.type === fileType.directory) {
      // `.` and `..` have been seen before.
      for (const child of readDirents(source, inode).nids) {
        if (seen[child] === 1) continue
        seen[child] = 1
        pending.push(child)
      }
      continue
    }
    if (inode.type !== fileType.regular) continue
    const { metacopy, redirect } = xattrs.read(inode)
    if (metacopy === undefined && redirect === undefined) continue
    let id = metacopy && parseMetacopy(metacopy)
    if (id === undefined && metacopy !== undefined && metacopy.length > 0) {
      throw damaged('it names its object in no known way', { nid, offset: inode.at })
    }
    if (id === undefined && redirect !== undefined) id = ObjectId.fromPath(parseRedirect(redirect))
    if (id !== undefined) objects.set(id.hex, id)
  }
  return [...objects.keys()].sort().map((hex) => objects.get(hex)!)
}
