/**
 * Images and dumpfiles as they come, from files, pipes and devices: no more is read than one of them can have.
 *
 * @packageDocumentation
 */
import { blockSize, composefsMagic, erofsMagic, inodesStart, superblock, superblockOffset } from '../erofs/format.ts'
import { ComposefsError } from '../errors.ts'
import { readDumpfileFrom } from '../streams/dumpfile-reader.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { openInput } from './input.ts'

/** Most bytes of an image, which is held in memory, and of a dumpfile, whose tree is. */
const maxSize = 2 ** 30
const slash = '/'.charCodeAt(0)

/** An image as its bytes, a dumpfile as the tree it describes. */
export type TreeInput = { readonly image: Buffer } | { readonly fileSystem: FileSystem }

/**
 * Reads an image or a dumpfile; its first bytes tell which.
 *
 * @param name of a file, or `-` for stdin
 * @throws {@link ComposefsError} `ERR_ARGUMENT` for what is neither, `ERR_LIMIT`, `ERR_EROFS_INVALID` for an image that
 * goes on behind its end, and what reading a dumpfile throws
 */
export function readTreeInput(name: string): Promise<TreeInput> {
  return withInput(name, async (head, rest) => {
    if (isImage(head)) return { image: await restOfImage(name, head, rest) }
    // A dumpfile is text that begins with the path of the root.
    if (head[0] === slash) return { fileSystem: await readDumpfileFrom(limited(name, head, rest)) }
    throw new ComposefsError('ERR_ARGUMENT', 'this is neither an image nor a dumpfile', {
      path: name,
      hint: 'images are made by mkfs, create-image or mkcomposefs, dumpfiles by dump or create-dumpfile',
    })
  })
}

/** Reads an image. Throws as {@link readTreeInput} does. */
export function readImageInput(name: string): Promise<Buffer> {
  return withInput(name, (head, rest) => {
    if (isImage(head)) return restOfImage(name, head, rest)
    throw new ComposefsError('ERR_EROFS_INVALID', 'this is no composefs image', {
      path: name,
      hint: 'it does not begin with the magic number of one; mkfs, create-image and mkcomposefs make images',
    })
  })
}

/** Whether bytes begin as an image does. */
function isImage(bytes: Buffer): boolean {
  const has = (offset: number, magic: number): boolean =>
    bytes.length >= offset + 4 && bytes.readUInt32LE(offset) === magic
  return has(0, composefsMagic) || has(superblockOffset, erofsMagic)
}

type Rest = AsyncIterator<Buffer>

/** Opens the input and hands over enough bytes to tell what it is, if there are so many, and those behind them. */
async function withInput<T>(name: string, use: (head: Buffer, rest: Rest) => Promise<T>): Promise<T> {
  const rest = openInput(name, 'an image or a dumpfile')[Symbol.asyncIterator]() as Rest
  try {
    let head: Buffer = Buffer.alloc(0)
    while (head.length < inodesStart) {
      const next = await rest.next()
      if (next.done === true) break
      head = Buffer.concat([head, next.value])
    }
    return await use(head, rest)
  } finally {
    await rest.return?.()
  }
}

async function restOfImage(name: string, head: Buffer, rest: Rest): Promise<Buffer> {
  const blocks = superblockOffset + superblock.blocks
  const size = head.length < blocks + 4 ? head.length : head.readUInt32LE(blocks) * blockSize
  if (size > maxSize) throw tooLarge(name, size)
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of limited(name, head, rest)) {
    chunks.push(chunk)
    length += chunk.length
    if (length <= size) continue
    throw new ComposefsError('ERR_EROFS_INVALID', 'the image goes on behind the size that it says', {
      path: name,
      expected: size,
      actual: `at least ${length}`,
      hint: 'it is damaged, or something was appended to it; make or fetch it again',
    })
  }
  return Buffer.concat(chunks, length)
}

async function* limited(name: string, head: Buffer, rest: Rest): AsyncGenerator<Buffer, void, undefined> {
  let size = head.length
  yield head
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) {
    size += next.value.length
    if (size > maxSize) throw tooLarge(name, size)
    yield next.value
  }
}

function tooLarge(name: string, size: number): ComposefsError {
  return new ComposefsError('ERR_LIMIT', 'the input is too large for an image or a dumpfile', {
    path: name,
    expected: `at most ${maxSize} bytes`,
    actual: size,
  })
}
