/** The main job on real files: an image of three layers through the pipeline, into ./demo-repo. */
import { type ImportEvent, importArchive } from 'composefs-streams/oci'
import { Repository } from 'composefs-streams/repository'
import { archive } from './archive.ts'
import { layer } from './files.ts'

const directory = './demo-repo'
const name = 'demo'
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`

console.log('Packing three layers from the packages in node_modules …')
const layers = await Promise.all([
  layer(['typescript']),
  layer(['fast-check', 'commander', '@noble']),
  // The third repeats what the others have, and takes something away.
  layer(['commander', 'tar-stream', 'minipass'], (tar) => {
    tar.entry({ name: 'usr/lib/node_modules/.wh.fast-check', mtime: new Date(0) }, '')
  }),
])

const repository = await Repository.init(directory, { insecure: 'auto' })
console.log(`Streaming an oci-archive of them into ${directory} …\n`)
const start = performance.now()
let number = 0
const onEvent = (event: ImportEvent): void => {
  if (event.type !== 'layer') return
  const { layer, newObjects, newBytes, presentObjects } = event
  console.log(`layer ${++number}  ${layer.diffId.slice(0, 23)}…`)
  console.log(`  ${mebibytes(layer.size)} gzip, ${mebibytes(layer.tarSize)} tar`)
  console.log(`  ${newObjects} objects stored (${mebibytes(newBytes)}), ${presentObjects} there already`)
}
const [image] = await importArchive(repository, archive(layers), { name, onEvent })
const seconds = (performance.now() - start) / 1000
const bytes = layers.reduce((sum, tar) => sum + tar.length, 0)

console.log(`\n${mebibytes(bytes)} of layers in ${seconds.toFixed(1)} s: ${mebibytes(bytes / seconds)}/s`)
await repository.close()
console.log(`image id  ${image!.imageId.hex}`)
console.log(`
Try next:
  npx composefs --repo ${directory} oci images
  npx composefs --repo ${directory} oci dump ${name} | head
  npx composefs --repo ${directory} cat oci-layer-${image!.diffIds[0]} | sha256sum
  npx composefs --repo ${directory} oci dump ${name} | npx composefs mkfs --from-file --print-digest - image.cfs
  skopeo copy -q docker://IMAGE docker-archive:/dev/stdout | npx composefs --repo ${directory} import --name IMAGE`)
