/**
 * Which compression a stream of bytes has, told by its first bytes.
 *
 * @packageDocumentation
 */

/** What {@link Decompressor} takes off. Media types and file names lie; only the first bytes tell. */
export type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2'

const magics: readonly (readonly [Compression, Buffer])[] = [
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  // A zstd file may begin with skippable frames (0x184d2a50 to 0x184d2a5f), as those of pzstd and zstd:chunked do.
  ...Array.from({ length: 16 }, (_, i) => ['zstd', Buffer.from([0x50 + i, 0x2a, 0x4d, 0x18])] as const),
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  // "BZh" and a digit could begin the name of a file in a tar; the mark of the first block that follows could not.
  ...['1', '2', '3', '4', '5', '6', '7', '8', '9'].flatMap((level) =>
    ['314159265359', '177245385090'].map(
      (mark) => ['bzip2', Buffer.concat([Buffer.from(`BZh${level}`), Buffer.from(mark, 'hex')])] as const,
    ),
  ),
]

/** With this many bytes {@link detectCompression} always knows. */
export const magicLength: number = Math.max(...magics.map(([, magic]) => magic.length))

/**
 * The compression of a stream that begins with these bytes, or undefined where more of them are needed. Bytes that no
 * known format begins with are `none`.
 *
 * @param ended whether these are all the bytes there are; then the answer is never undefined
 */
export function detectCompression(head: Buffer, ended = false): Compression | undefined {
  let open = head.length === 0
  for (const [compression, magic] of magics) {
    const size = Math.min(head.length, magic.length)
    if (magic.compare(head, 0, size, 0, size) !== 0) continue
    if (size === magic.length) return compression
    open = true
  }
  return open && !ended ? undefined : 'none'
}
