/**
 * Plain bytes to compressed ones.
 *
 * @packageDocumentation
 */
import type { Duplex } from 'node:stream'
import { createGzip } from 'node:zlib'
import { ComposefsError } from '../errors.ts'
import { zstdBackend } from './zstd-backend.ts'

const chunkSize = 256 * 1024

/**
 * A stream that compresses: gzip at level 6, one member without name and time; zstd at level 3, one frame. The same
 * bytes come out the same as long as the compressor stays the same.
 *
 * @throws {@link ComposefsError} `ERR_COMPRESSION_UNSUPPORTED` for zstd where there is no encoder: that of Node (22.15
 * and later) or `zstd-napi`
 * @example
 * ```ts
 * import { createReadStream, createWriteStream } from 'node:fs'
 * import { pipeline } from 'node:stream/promises'
 * import { createCompressor } from 'composefs-streams/streams'
 *
 * await pipeline(createReadStream('layer.tar'), createCompressor('gzip'), createWriteStream('layer.tar.gz'))
 * ```
 */
export function createCompressor(compression: 'gzip' | 'zstd'): Duplex {
  if (compression === 'gzip') return createGzip({ chunkSize })
  const compressor = zstdBackend().createCompressor?.()
  if (compressor !== undefined) return compressor
  throw new ComposefsError('ERR_COMPRESSION_UNSUPPORTED', 'there is no encoder for zstd', {
    hint: 'use Node 22.15 or later, install zstd-napi, or choose gzip',
  })
}
