import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Compression } from '../../../src/streams/compression.ts'
import { cut } from '../../support/chunks.ts'
import { decompress } from '../../support/compressed.ts'
import { shared } from '../../support/shared.ts'

interface Image {
  config: string
  manifest: string
  blobs_base64: { [digest: string]: string }
  pull?: { outcome: string; error?: string }
  reference?: string
}

/** What the media type of a layer says that it is. */
function promised(mediaType: string): Compression {
  return mediaType.endsWith('+gzip') ? 'gzip' : mediaType.endsWith('+zstd') ? 'zstd' : 'none'
}

const codes: { [error: string]: string | undefined } = {
  'compressed-cut': 'ERR_COMPRESSION_TRUNCATED',
  'compressed-checksum': 'ERR_COMPRESSION_DATA',
  'compressed-format': 'ERR_COMPRESSION_DATA',
}

/** Zeros behind compressed data are padding, as for skopeo and GNU tar; the reference takes them for garbage. */
const takenHere: ReadonlySet<string> = new Set(['layer-gzip-trailing-zeros/0'])

const images: [string, Image][] = shared.available ? Object.entries(shared.json('vectors/oci-images-more.json')) : []

describe.skipIf(!shared.available)('the layers of oci-images-more.json', () => {
  const layers = images.flatMap(([name, image]) => {
    if (image.reference === 'bug') return []
    const { layers } = JSON.parse(image.manifest) as { layers: { digest: string; mediaType: string }[] }
    const diffIds: string[] = JSON.parse(image.config).rootfs?.diff_ids ?? []
    return layers.flatMap(({ digest, mediaType }, i) => {
      const blob = image.blobs_base64[digest]
      const compression = promised(mediaType)
      if (blob === undefined || compression === 'none') return []
      return [
        { name: `${name}/${i}`, compression, blob: Buffer.from(blob, 'base64'), diffId: diffIds[i], pull: image.pull },
      ]
    })
  })

  test('are there', () => expect(layers.length).toBeGreaterThan(15))

  test.each(layers)('$name', async ({ name, compression, blob, diffId, pull }) => {
    const code = takenHere.has(name) ? undefined : codes[pull?.error ?? '']
    for (const sizes of [[blob.length], [1], [100]]) {
      const { output, error } = await decompress(cut(blob, sizes), { compression })
      if (code !== undefined) {
        expect(error).toMatchObject({ code })
        continue
      }
      expect(error).toBeUndefined()
      expect(`sha256:${createHash('sha256').update(output).digest('hex')}`).toBe(diffId)
      // The first bytes tell as much.
      expect((await decompress(cut(blob, sizes))).compression).toBe(compression)
    }
  })
})
