/**
 * One pass over a layer into two sinks: its splitstream, which gives the tar back, and its tree, which gives an image.
 *
 *   node build/examples/fan-out.js ./repo < layer.tar
 */
import { writeImage } from 'composefs-streams/erofs'
import { layerStream } from 'composefs-streams/oci'
import { Repository } from 'composefs-streams/repository'
import { SplitstreamSink, TreeSink } from 'composefs-streams/sinks'
import {
  ContentSplitter,
  Decompressor,
  DigestVerifier,
  ObjectWriter,
  PaxParser,
  pipeline,
  TarDecoder,
  tee,
} from 'composefs-streams/streams'

const repository = await Repository.init(process.argv[2] ?? './repo', { insecure: 'auto' })
const { objects } = repository
const digest = new DigestVerifier()
const [splitstream, fileSystem] = await pipeline(
  process.stdin,
  new Decompressor(),
  digest,
  new TarDecoder(),
  new PaxParser(),
  new ContentSplitter(),
  new ObjectWriter(objects),
  tee(new SplitstreamSink(objects), new TreeSink()),
)
const layer = await splitstream.store()
const image = objects.put(writeImage(fileSystem))
// Only now does anything get a name.
await repository.transaction((transaction) => {
  transaction.linkStream(layerStream(digest.digest!), layer)
  transaction.linkImage(image)
})
await repository.close()
console.log(`layer  oci-layer-${digest.digest}`)
console.log(`image  ${image.hex}`)
