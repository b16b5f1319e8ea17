import type { Command } from 'commander'
import { ComposefsError } from '../../errors.ts'
import type { ObjectId } from '../../fsverity/object-id.ts'
import { catStream } from '../../oci/cat.ts'
import { findLayerDigest } from '../../oci/find.ts'
import { type OpenedImage, openImage } from '../../oci/image.ts'
import { importLayer } from '../../oci/layer.ts'
import { checkDigest, layerStream } from '../../oci/names.ts'
import { verifiedStream } from '../../oci/verify-stream.ts'
import type { Repository } from '../../repository/repository.ts'
import { dumpfileChunks } from '../../streams/dumpfile-writer.ts'
import { readSplitstreamEntries } from '../../streams/splitstream-entries.ts'
import { contentTypes } from '../../streams/splitstream-format.ts'
import { parseSplitstream } from '../../streams/splitstream-reader.ts'
import { withNewRepository, withRepository } from '../context.ts'
import { openInput } from '../input.ts'
import { interruptible, interruption } from '../interrupt.ts'
import { withFirstHeader } from '../layer-input.ts'
import { pipeToStdout, printAll, printJson, printLine } from '../output.ts'

/** Commands on single layers. */
export function addOciLayerCommands(oci: Command): void {
  oci
    .command('layer')
    .description('write the tar of a layer, bit for bit')
    .argument('<diffid>', 'sha256:… of the tar, or how it begins; or an image that has one layer')
    .option('--dumpfile', 'its entries as dumpfile lines instead')
    .option('--json', 'facts about it instead')
    .addHelpText('after', '\nExample:\n  composefs oci layer sha256:5f70… | tar -tv')
    .action((name: string, flags: { dumpfile?: true; json?: true }, command: Command) =>
      withRepository(command, async (repository) => {
        if (flags.dumpfile && flags.json) {
          throw new ComposefsError('ERR_ARGUMENT', '--dumpfile and --json exclude each other')
        }
        const wanted = { algorithm: repository.algorithm, contentType: contentTypes.layer }
        const diffId = layerOf(repository, name)
        // Nothing of it comes out before all of it was looked at: whoever reads it may act on every byte.
        const id = await verifiedStream(repository, layerStream(diffId), { ...wanted, signal: interruption })
        if (flags.json) return printJson(layerFacts(repository, diffId, id))
        if (flags.dumpfile)
          return printAll(dumpfileChunks(readSplitstreamEntries(repository.objects.openFile(id), wanted)))
        return pipeToStdout(catStream(repository, id, wanted), 'a layer')
      }),
    )

  oci
    .command('import-layer')
    .description('import the tar of one layer from stdin, plain or compressed')
    .argument('<diffid>', 'sha256:… of the tar, which is checked')
    .argument('[name]', 'a ref for its stream')
    .addHelpText('after', '\nExample:\n  composefs oci import-layer sha256:5f70… < layer.tar')
    .action(async (text: string, name: string | undefined, _flags, command: Command) => {
      const diffId = checkDigest(text)
      const signal = interruptible('the repository is sound')
      await withNewRepository(command, async (open) => {
        const source = await withFirstHeader(openInput('-', 'the tar of a layer'), diffId)
        const repository = await open()
        const layer = await importLayer(repository, source, { diffId, signal })
        const contentId = layerStream(layer.diffId)
        await repository.transaction((transaction) => {
          transaction.linkStream(contentId, layer.id)
          if (name !== undefined) transaction.setRef('streams', name, contentId)
        })
        await printLine(layer.id.toString())
      })
    })
}

/** The diffID of a layer that is called by it, by its beginning, or by the image whose only layer it is. */
function layerOf(repository: Repository, name: string): string {
  const digest = findLayerDigest(repository, name)
  if (digest !== undefined) return digest
  const { config, manifest } = openImageOfLayer(repository, name)
  const diffIds = config?.config.diffIds ?? manifest.layers.map(({ digest }) => digest)
  if (diffIds.length === 1) return diffIds[0]!
  throw new ComposefsError('ERR_ARGUMENT', `this image has ${diffIds.length} layers`, {
    path: name,
    hint: `name one of them: ${diffIds.join(', ')}`,
  })
}

function openImageOfLayer(repository: Repository, name: string): OpenedImage {
  try {
    return openImage(repository, name)
  } catch (error) {
    if (!(error instanceof ComposefsError) || error.code !== 'ERR_OCI_NOT_FOUND') throw error
    const hint = 'see the diff_ids that composefs oci inspect IMAGE --config shows'
    throw new ComposefsError('ERR_NOT_FOUND', 'the repository has no such layer', { path: checkDigest(name), hint })
  }
}

function layerFacts(repository: Repository, diffId: string, id: ObjectId) {
  const wanted = { algorithm: repository.algorithm, contentType: contentTypes.layer }
  const file = repository.objects.openFile(id)
  const stream = parseSplitstream(file, wanted)
  const sizes = new Map(stream.objectRefs.map((object) => [object.hex, repository.objects.sizeOf(object)]))
  let entryCount = 0
  for (const _ of readSplitstreamEntries(file, wanted)) entryCount++
  let externalSize = 0
  let inlineSize = 0
  for (const chunk of stream.chunks()) {
    if (chunk.kind === 'inline') inlineSize += chunk.bytes.length
    else externalSize += sizes.get(chunk.id.hex)!
  }
  return {
    diffId,
    verity: id.hex,
    size: stream.streamSize,
    entryCount,
    splitstream: { externalObjects: stream.objectRefs.length, externalSize, inlineSize },
  }
}
