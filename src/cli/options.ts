/**
 * Options that several commands share.
 *
 * @packageDocumentation
 */
import { Option } from 'commander'
import { ComposefsError } from '../errors.ts'
import type { TreeOptions } from '../oci/tree.ts'
import type { RootRule, XattrFilter } from '../tree/transform.ts'

/** Options of commands that make an image of layers. */
export const treeOptions: Readonly<Record<'xattrs' | 'root' | 'implicitParents' | 'bootable', () => Option>> = {
  xattrs: (): Option =>
    new Option('--xattrs <filter>', 'extended attributes that stay')
      .choices(['allowlist-only', 'keep-user-xattrs', 'all'])
      .default('allowlist-only'),
  root: (): Option =>
    new Option('--root-metadata <rule>', 'root metadata: that of /usr, newest time and 0555, or as it is')
      .choices(['usr', 'newest', 'keep'])
      .default('usr'),
  implicitParents: (): Option =>
    new Option('--implicit-parents', 'make missing parent directories (0755, root:root, time 0)'),
  bootable: (): Option => new Option('--bootable', 'as a bootable image: empty /boot and /sysroot, SELinux labels'),
}

/** The values of {@link treeOptions}, as commander gives them. */
export interface TreeFlags {
  readonly xattrs?: XattrFilter
  readonly rootMetadata?: RootRule
  readonly implicitParents?: true
  readonly bootable?: true
}

/** From flags to the library's options. */
export function treeOptionsOf({ xattrs, rootMetadata, implicitParents, bootable }: TreeFlags): TreeOptions {
  return {
    ...(xattrs !== undefined && { xattrs }),
    ...(rootMetadata !== undefined && { root: rootMetadata }),
    ...(implicitParents !== undefined && { implicitParents }),
    ...(bootable !== undefined && { bootable }),
  }
}

/** For options that may be given again: in commander's own way they would swallow the arguments that follow. */
export const several = (value: string, before: readonly string[] = []): string[] => [...before, value]

/** Whether a name says by its transport where an image is, or goes to. */
export const isPlace = (name: string): boolean => /^(?:docker:\/\/|(?:oci|dir|oci-archive|docker-archive):)/.test(name)

/** For two arguments that only make sense the other way round. */
export const swapped = (meant: string, first = 'image'): ComposefsError =>
  new ComposefsError('ERR_ARGUMENT', `the ${first} comes first`, { hint: `did you mean composefs ${meant}?` })
