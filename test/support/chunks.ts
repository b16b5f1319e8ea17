/** Cuts a buffer into pieces of the given sizes, over and over, each a copy of its own. */
export function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = Math.max(1, sizes[i % sizes.length] ?? bytes.length)
    chunks.push(Buffer.from(bytes.subarray(at, at + size)))
    at += size
  }
  return chunks
}

/** The same bytes whole, one by one, and in awkward sizes. */
export function chunkings(bytes: Buffer): Buffer[][] {
  return [[bytes.length], [1], [511], [512], [513], [3, 1021, 64]].map((sizes) => cut(bytes, sizes))
}
