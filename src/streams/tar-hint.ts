/**
 * What input that is no tar might be.
 *
 * @packageDocumentation
 */

const signatures: readonly (readonly [bytes: Buffer, hint: string])[] = [
  [Buffer.from('1f8b', 'hex'), 'it is compressed with gzip; put a Decompressor before the TarDecoder'],
  [Buffer.from('28b52ffd', 'hex'), 'it is compressed with zstd; put a Decompressor before the TarDecoder'],
  [Buffer.from('fd377a585a00', 'hex'), 'it is compressed with xz; put a Decompressor before the TarDecoder'],
  [Buffer.from('BZh'), 'it is compressed with bzip2; put a Decompressor before the TarDecoder'],
  [Buffer.from('PK\x03\x04'), 'it is a zip file'],
  [Buffer.from('SplitStream'), 'it is a splitstream; read it with a SplitstreamReader'],
]

/** The next step for someone whose input begins like this and is no tar. */
export function notTarHint(start: Buffer): string {
  for (const [bytes, hint] of signatures) {
    if (start.subarray(0, bytes.length).equals(bytes)) return hint
  }
  return /^[\t\n\r -~]{16}/.test(start.toString('latin1', 0, 16))
    ? 'it begins with text; did a program mix messages into its output? (skopeo: use copy -q)'
    : 'it is something else, or damaged from the first byte on'
}
