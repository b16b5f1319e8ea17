/**
 * One layer of an image in a registry, stage by stage: from the socket to a tree, and nothing on disk. Prints what is in
 * the layer, as a dumpfile.
 *
 *   node examples/registry-stream.ts quay.io/fedora/fedora:41 0
 */
import {
  choosePlatform,
  hostPlatform,
  isIndex,
  parseIndex,
  parseManifest,
  parseReference,
  RegistryClient,
} from 'composefs-streams/oci'
import { DigestStore } from 'composefs-streams/repository'
import { TreeSink } from 'composefs-streams/sinks'
import {
  ContentSplitter,
  Decompressor,
  DigestVerifier,
  dumpfileText,
  ObjectWriter,
  PaxParser,
  pipeline,
  TarDecoder,
} from 'composefs-streams/streams'

const [reference = 'quay.io/fedora/fedora:41', index = '0'] = process.argv.slice(2)
const client = await RegistryClient.open(parseReference(reference))
try {
  let manifest = await client.manifest()
  if (isIndex(manifest)) {
    manifest = await client.manifest(choosePlatform(parseIndex(manifest.bytes), hostPlatform()).digest)
  }
  const layer = parseManifest(manifest.bytes).layers[Number(index)]
  if (layer === undefined) throw new Error(`there is no layer ${index}`)
  const fileSystem = await pipeline(
    client.blob(layer),
    new DigestVerifier({ digest: layer.digest, size: layer.size }),
    new Decompressor(),
    new TarDecoder(),
    new PaxParser(),
    new ContentSplitter(),
    new ObjectWriter(new DigestStore('sha256')),
    new TreeSink(),
  )
  process.stdout.write(dumpfileText(fileSystem))
} finally {
  await client.close()
}
