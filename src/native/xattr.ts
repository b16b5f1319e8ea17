/**
 * Extended attributes, which Node does not offer: through koffi, which carries names of any bytes, or else through
 * fs-xattr. The only file that loads fs-xattr.
 *
 * @packageDocumentation
 */
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { type ByteString, bytesOf, printable, toBuffer } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { errnoException, isErrno } from './errno.ts'
import { type Libc, native } from './libc.ts'

/**
 * What has attributes: a descriptor, also one of `O_PATH` (so that of a symlink means the symlink), or a path, whose
 * last symlink is followed.
 */
export type XattrFile = number | string

interface XattrCalls {
  list(file: XattrFile): ByteString[]
  get(file: XattrFile, name: ByteString): Buffer
  set(file: XattrFile, name: ByteString, value: Buffer): void
}

interface FsXattr {
  listAttributesSync(path: string): string[]
  getAttributeSync(path: string, name: string): Buffer
  setAttributeSync(path: string, name: string, value: Buffer): void
}

const { EBADF } = constants.errno
/** The kernel's own limit of a list of names, and of a value. */
const maxSize = 65536
/** How often to ask again for something that grew between the question for its size and the one for itself. */
const tries = 10

let loaded: XattrCalls | undefined

/**
 * The names of all attributes, as the kernel orders them; none where the file system has no attributes.
 *
 * @throws {@link ComposefsError} `ERR_NATIVE_MISSING` where neither koffi nor fs-xattr loads; `ERR_ARGUMENT` for a name
 * that is not UTF-8 and koffi is missing. Otherwise an error of the operating system, with its errno name for a code.
 */
export function listXattrs(file: XattrFile): ByteString[] {
  try {
    return calls().list(file)
  } catch (error) {
    if (isErrno(error, 'EOPNOTSUPP', 'ENOTSUP')) return []
    throw error
  }
}

/** The value of one attribute; undefined where there is none of this name. Throws as {@link listXattrs} does. */
export function getXattr(file: XattrFile, name: ByteString): Buffer | undefined {
  try {
    return calls().get(file, name)
  } catch (error) {
    if (isErrno(error, 'ENODATA')) return undefined
    throw error
  }
}

/** Makes an attribute, or replaces its value. Throws as {@link listXattrs} does. */
export function setXattr(file: XattrFile, name: ByteString, value: Buffer): void {
  calls().set(file, name, value)
}

function calls(): XattrCalls {
  loaded ??= load()
  return loaded
}

function load(): XattrCalls {
  const libc = native()
  if (libc !== undefined) return throughKoffi(libc)
  try {
    return throughFsXattr(createRequire(import.meta.url)('fs-xattr') as FsXattr)
  } catch (cause) {
    throw new ComposefsError('ERR_NATIVE_MISSING', 'koffi or fs-xattr is needed for extended attributes', {
      hint: 'install one of these optional packages (npm install koffi), or make the image from its layers',
      cause,
    })
  }
}

const throughProc = (file: XattrFile): string => (typeof file === 'number' ? `/proc/self/fd/${file}` : file)

function throughKoffi(libc: Libc): XattrCalls {
  // Asked for with all the room there can be: overlayfs, asked for the size, counts attributes that it does not list.
  const buffer = Buffer.allocUnsafeSlow(maxSize)
  const check = (call: string, file: XattrFile, run: (file: XattrFile) => number): number => {
    let result = run(file)
    // Descriptors of O_PATH lead to their inode through /proc only.
    if (result === -EBADF && typeof file === 'number') result = run(throughProc(file))
    if (result < 0) throw errnoException(-result, call)
    return result
  }
  return {
    list(file) {
      const length = check('listxattr', file, (file) => libc.listxattr(file, buffer))
      return length === 0 ? [] : (buffer.toString('latin1', 0, length - 1).split('\0') as ByteString[])
    },
    get(file, name) {
      const key = terminated(name)
      const length = check('getxattr', file, (file) => libc.getxattr(file, key, buffer))
      return Buffer.from(buffer.subarray(0, length))
    },
    set(file, name, value) {
      const key = terminated(name)
      check('setxattr', file, (file) => libc.setxattr(file, key, value))
    },
  }
}

function throughFsXattr(fsXattr: FsXattr): XattrCalls {
  return {
    list(file) {
      return again(() => fsXattr.listAttributesSync(throughProc(file))).map((name) => {
        // What stands for bytes that are no UTF-8.
        if (name.includes('\ufffd')) throw notUtf8(name)
        return bytesOf(name)
      })
    },
    get: (file, name) => again(() => fsXattr.getAttributeSync(throughProc(file), text(name))),
    set: (file, name, value) => fsXattr.setAttributeSync(throughProc(file), text(name), value),
  }
}

/** fs-xattr asks for the size first, and what it then asks for may have grown. */
function again<T>(ask: () => T): T {
  for (let left = tries; ; left--) {
    try {
      return ask()
    } catch (error) {
      if (left <= 1 || !isErrno(error, 'ERANGE')) throw error
    }
  }
}

function terminated(name: ByteString): Buffer {
  return toBuffer(`${name}\0` as ByteString)
}

function text(name: ByteString): string {
  const decoded = toBuffer(name).toString()
  if (decoded.includes('\ufffd')) throw notUtf8(printable(name))
  return decoded
}

function notUtf8(name: string): ComposefsError {
  return new ComposefsError('ERR_ARGUMENT', `the name of an extended attribute is not UTF-8: ${name}`, {
    hint: 'install koffi, which carries such names (npm install koffi)',
  })
}
