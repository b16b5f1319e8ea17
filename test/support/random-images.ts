import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { encodeZstd } from '../../src/streams/zstd-encoder.ts'
import { type ImageBytes, imageOf, ociMembers } from './image-archive.ts'
import { Random } from './random.ts'
import { randomLayers } from './random-layers.ts'
import { tool } from './tools.ts'

/** A random image: the tars of its layers, the lowest first, and the parts that a layout holds. */
export interface RandomImage extends ImageBytes {
  readonly tars: readonly Buffer[]
}

/** An image of random layers, plain or compressed one way or another. */
export function randomImage(seed: number): RandomImage {
  const random = new Random(~seed)
  const tars = randomLayers(seed)
  return {
    ...imageOf(
      tars,
      tars.map((tar) => compressed(random, tar)),
    ),
    tars,
  }
}

/** Writes an OCI layout with one image, which bears no name. */
export function writeLayout(directory: string, image: ImageBytes): void {
  mkdirSync(join(directory, 'blobs/sha256'), { recursive: true })
  for (const { name, body } of ociMembers(image)) writeFileSync(join(directory, name), body ?? '')
}

function compressed(random: Random, tar: Buffer): { bytes: Buffer; suffix: '' | '+gzip' | '+zstd' } {
  const cut = random.chance(0.3) ? random.below(tar.length + 1) : tar.length
  // Several members or frames, one of them empty perhaps.
  const pieces = cut === tar.length && random.chance(0.9) ? [tar] : [tar.subarray(0, cut), tar.subarray(cut)]
  switch (random.pick(['plain', 'gzip', 'gzip', 'zstd'])) {
    case 'gzip':
      return {
        bytes: Buffer.concat(pieces.map((piece) => gzipSync(piece, { level: random.below(10) }))),
        suffix: '+gzip',
      }
    case 'zstd': {
      const frames = pieces.flatMap((piece) => [...(random.chance(0.2) ? [skippableFrame] : []), zstd(random, piece)])
      return { bytes: Buffer.concat(frames), suffix: '+zstd' }
    }
    default:
      return { bytes: tar, suffix: '' }
  }
}

const skippableFrame = Buffer.from('\x50\x2a\x4d\x18\x04\0\0\0skip', 'latin1')
const hasZstd = tool('zstd') !== undefined

/** By the program where there is one, since ours may only know how to store. */
function zstd(random: Random, bytes: Buffer): Buffer {
  if (!hasZstd || random.chance(0.3)) return encodeZstd(bytes)
  const level = `-${random.pick([1, 3, 9, 19])}`
  return execFileSync('zstd', ['-q', '-c', level, ...(random.chance(0.5) ? ['--no-check'] : [])], { input: bytes })
}
