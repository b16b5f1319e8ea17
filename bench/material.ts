/** What the benchmarks work on: the same bytes in every run. */
import { createHash } from 'node:crypto'
import { createWriteStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { mediaTypes } from 'composefs-streams/oci'
import { pack } from 'tar-stream'

const directories = 200
const filesEach = 200

/** Contents that compress about as programs do: half of it noise, half of it repeated. */
function contents(number: number): Buffer {
  // 40,000 files of about 10 KB on average, some large, many small.
  const size = number % 50 === 0 ? 200_000 : number % 7 === 0 ? 30 : 2_000 + ((number * 7919) % 8_000)
  const body = Buffer.alloc(size)
  let seed = (number * 2_654_435_761) >>> 0
  for (let at = 0; at + 4 <= size; at += 4) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    body.writeUInt32LE(at % 128 < 64 ? seed : 0x20746865, at)
  }
  return body
}

/** A layer of 40,000 files, about 400 MB. */
export async function writeLayer(path: string): Promise<void> {
  const tar = pack()
  const written = pipeline(tar as unknown as NodeJS.ReadableStream, createWriteStream(path))
  const mtime = new Date(1_700_000_000_000)
  const add = (header: object, body?: Buffer) =>
    new Promise<void>((resolve, reject) => {
      const done = (error?: Error | null) => (error ? reject(error) : resolve())
      const entry = body === undefined ? tar.entry(header as never, done) : tar.entry(header as never, body, done)
      if (body === undefined) entry.end(undefined)
    })
  await add({ name: 'usr', type: 'directory', mode: 0o755, mtime })
  for (let d = 0; d < directories; d++) {
    await add({ name: `usr/directory-${d}`, type: 'directory', mode: 0o755, mtime })
    for (let f = 0; f < filesEach; f++) {
      await add({ name: `usr/directory-${d}/file-${f}`, mode: 0o644, mtime }, contents(d * filesEach + f))
    }
  }
  tar.finalize()
  await written
}

const digestOf = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** An OCI layout with one layer. */
export function writeLayout(directory: string, tar: Buffer, blob: Buffer, suffix: '' | '+gzip' | '+zstd'): void {
  const blobs = join(directory, 'blobs', 'sha256')
  mkdirSync(blobs, { recursive: true })
  const put = (mediaType: string, bytes: Buffer) => {
    const digest = digestOf(bytes)
    writeFileSync(join(blobs, digest.slice('sha256:'.length)), bytes)
    return { mediaType, digest, size: bytes.length }
  }
  const json = (value: unknown) => Buffer.from(JSON.stringify(value))
  const rootfs = { type: 'layers', diff_ids: [digestOf(tar)] }
  const config = put(mediaTypes.config, json({ architecture: 'amd64', os: 'linux', config: {}, rootfs }))
  const layers = [put(`${mediaTypes.layer}${suffix}`, blob)]
  const manifest = put(mediaTypes.manifest, json({ schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers }))
  const named = { ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'latest' } }
  writeFileSync(join(directory, 'index.json'), json({ schemaVersion: 2, manifests: [named] }))
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}

/** A file in memory. */
export const bytesOfFile = (path: string): Buffer => readFileSync(path)
