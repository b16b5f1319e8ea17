import { type ByteString, bytesOf } from '../../src/bytes.ts'
import { type FileSystem, Leaf } from '../../src/tree/index.ts'
import { directory, file, type Item } from './layer-entries.ts'

export const attribute: ByteString = bytesOf('security.selinux')

/** Contents that trees made of {@link file} do not hold. */
export function noObjects(): never {
  throw new Error('no file has its contents elsewhere')
}

/** The entries of a policy `test`, whose files are named without `file_contexts`. Small files only, if it is merged. */
export function policyItems(files: Record<string, string>, config = 'SELINUXTYPE=test\n'): Item[] {
  const directories = ['etc', 'etc/selinux', 'etc/selinux/test', 'etc/selinux/test/contexts']
  const home = 'etc/selinux/test/contexts/files'
  return [
    ...[...directories, home].map((path) => directory(path)),
    file('etc/selinux/config', config),
    ...Object.entries(files).map(([suffix, text]) => file(`${home}/file_contexts${suffix}`, text)),
  ]
}

/** The label of each path, `-` for none; the root is `/`. */
export function labels(fileSystem: FileSystem): Record<string, string> {
  const found: Record<string, string> = {}
  for (const item of fileSystem.walk()) {
    const { stat } = item.kind === 'inode' ? item.inode : item.leaf
    const values = [...stat.xattrs].filter(([name]) => name === attribute)
    found[item.path] = values.map(([, value]) => value.toString('latin1')).join() || '-'
  }
  return found
}

/** The inode of a path is a leaf. */
export function leafAt(fileSystem: FileSystem, path: string): Leaf {
  const inode = fileSystem.get(path)
  if (inode instanceof Leaf) return inode
  throw new Error(`${path} is no leaf`)
}
