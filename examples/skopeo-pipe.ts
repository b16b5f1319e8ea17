/**
 * An image archive from a pipe into a repository, and its EROFS image into a file.
 *
 *   skopeo copy -q docker://IMAGE docker-archive:/dev/stdout | node build/examples/skopeo-pipe.js ./repo image.cfs
 */
import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { importArchive } from 'composefs-streams/oci'
import { Repository } from 'composefs-streams/repository'

const [path = './repo', file = 'image.cfs'] = process.argv.slice(2)
const repository = await Repository.init(path, { insecure: 'auto' })
try {
  const [image] = await importArchive(repository, process.stdin, {
    onEvent: (event) => {
      if (event.type === 'layer') console.error(`${event.layer.diffId}: ${event.newObjects} new objects`)
    },
  })
  await pipeline(repository.openObject(image!.imageId), createWriteStream(file))
  console.log(image!.imageId.hex)
} finally {
  await repository.close()
}
