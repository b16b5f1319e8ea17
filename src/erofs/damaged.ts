import { ComposefsError } from '../errors.ts'

/** An image that cannot be what a writer made. `nid` names the inode concerned. */
export function damaged(what: string, { nid, offset }: { nid?: number; offset?: number } = {}): ComposefsError {
  const where = nid === undefined ? 'the image is damaged' : `inode ${nid} of the image is damaged`
  return new ComposefsError('ERR_EROFS_INVALID', `${where}: ${what}`, {
    ...(offset !== undefined && { offset }),
    hint: 'make, fetch or import it again',
  })
}
