/**
 * Entries to tar headers.
 *
 * @packageDocumentation
 */
import { type ByteString, fromLatin1, printable, toBuffer } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { xattrPrefix } from './pax-attributes.ts'
import { paxRecord } from './pax-records.ts'
import type { Entry, EntryType } from './records.ts'
import { blockSize, encodeHeader, headerBlock, paddingOf, typeflags } from './tar-header.ts'

const flags: { readonly [key in EntryType]?: number } = {
  file: typeflags.file,
  directory: typeflags.directory,
  symlink: typeflags.symlink,
  hardlink: typeflags.hardlink,
  'character-device': typeflags.characterDevice,
  'block-device': typeflags.blockDevice,
  fifo: typeflags.fifo,
}

/** The two zero blocks at the end of an archive (a fresh Buffer). */
export function endBlocks(): Buffer {
  return Buffer.alloc(2 * blockSize)
}

/** The zeros that fill the last block of a body of `size` bytes (a fresh Buffer). */
export function zeroPadding(size: number): Buffer {
  return Buffer.alloc(paddingOf(size))
}

/**
 * The header blocks of an entry: one ustar header, after a PAX header where something does not fit: a long path or
 * target, nanoseconds, xattrs. `entry.size` bytes of body, and their padding, are to follow.
 *
 * The same entry gives the same bytes; they are not those of the archive that the entry came from.
 *
 * @throws {@link ComposefsError} `ERR_TAR_TYPE` for sockets and unsupported types, `ERR_PAX_VALUE` for an xattr whose
 * name contains `=`, which PAX cannot express.
 */
export function encodeEntry(entry: Entry): Buffer {
  const typeflag = flags[entry.type]
  if (typeflag === undefined) {
    throw new ComposefsError('ERR_TAR_TYPE', `a tar cannot hold an entry of the type ${entry.type}`, {
      path: printable(entry.path),
      hint: 'leave it out; sockets and the like belong to programs that run',
    })
  }
  const fields = {
    typeflag,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    size: entry.size,
    mtime: entry.mtime,
    name: fromLatin1(entry.path.slice(0, 100)),
    linkName: fromLatin1(entry.linkTarget.slice(0, 100)),
    deviceMajor: (entry.rdev >>> 8) & 0xfff,
    deviceMinor: (entry.rdev & 0xff) | ((entry.rdev >>> 12) & 0xfff00),
  }
  const pax = paxBody(entry)
  const header = headerBlock(fields)
  if (pax.length === 0) return header
  const paxHeader = encodeHeader({
    name: 'PaxHeaders/entry',
    typeflag: typeflags.paxLocal,
    mode: 0o644,
    size: pax.length,
  })
  return Buffer.concat([paxHeader, pax, zeroPadding(pax.length), header])
}

const keys = { path: fromLatin1('path'), linkPath: fromLatin1('linkpath'), mtime: fromLatin1('mtime') }

function paxBody(entry: Entry): Buffer {
  const records: Buffer[] = []
  if (entry.path.length > 100) records.push(paxRecord(keys.path, toBuffer(entry.path)))
  if (entry.linkTarget.length > 100) records.push(paxRecord(keys.linkPath, toBuffer(entry.linkTarget)))
  if (entry.mtimeNsec > 0) records.push(paxRecord(keys.mtime, Buffer.from(paxTimeText(entry))))
  for (const [name, value] of entry.xattrs) {
    if (name.includes('=')) throw unspeakable(name, entry)
    records.push(paxRecord(fromLatin1(xattrPrefix + name), value))
  }
  return Buffer.concat(records)
}

/** Nanoseconds count upwards from the second below, so -2 s and 500000000 ns are written `-1.5`. */
function paxTimeText({ mtime, mtimeNsec }: Entry): string {
  const negative = mtime < 0
  const whole = negative ? -(BigInt(mtime) + 1n) : BigInt(mtime)
  const fraction = negative ? 1_000_000_000 - mtimeNsec : mtimeNsec
  return `${negative ? '-' : ''}${whole}.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`
}

function unspeakable(name: ByteString, entry: Entry): ComposefsError {
  return new ComposefsError('ERR_PAX_VALUE', `a tar cannot hold the xattr ${printable(name)}`, {
    path: printable(entry.path),
    hint: 'its name contains "=", where PAX ends a name',
  })
}
