/**
 * Pulls an image from a registry into a repository, and writes its EROFS image to a file.
 *
 *   node examples/registry-to-image.ts docker://quay.io/fedora/fedora:41 ./repo fedora.cfs
 */
import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { openSource, pullImage } from 'composefs-streams/oci'
import { Repository } from 'composefs-streams/repository'

const [name = 'docker://quay.io/fedora/fedora:41', path = './repo', file = 'image.cfs'] = process.argv.slice(2)

// Ctrl-C ends everything at once, and leaves the repository sound.
const abort = new AbortController()
process.once('SIGINT', () => abort.abort(new Error('interrupted')))

const repository = await Repository.init(path, { insecure: 'auto' })
const source = await openSource(name, {
  signal: abort.signal,
  onRetry: ({ error, delay }) => console.error(`again in ${Math.round(delay)} ms: ${error.message}`),
})
try {
  const { imageId } = await pullImage(repository, source, {
    name,
    signal: abort.signal,
    onEvent: (event) => {
      if (event.type !== 'layer') return
      console.error(`layer ${event.number}: ${event.size} bytes, ${event.cached ? 'was there' : 'downloaded'}`)
    },
  })
  await pipeline(repository.openObject(imageId), createWriteStream(file))
  console.log(`${imageId.hex}  ${file}`)
} finally {
  await source.close()
  await repository.close()
}
