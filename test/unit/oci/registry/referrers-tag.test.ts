import { buffer } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parseReference, RegistryDestination } from '../../../../src/oci/index.ts'
import { digestOf } from '../../../support/image-archive.ts'
import { serve } from '../../../support/serve.ts'

const subject = digestOf(Buffer.from('the subject'))
const mediaType = 'application/vnd.oci.image.manifest.v1+json'
const signal = new AbortController().signal

function signature(text: string, more: object = {}) {
  const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(Buffer.from('{}')), size: 2 }
  const about = { mediaType, digest: subject, size: 11 }
  const json = { schemaVersion: 2, mediaType, config, layers: [], subject: about, annotations: { text }, ...more }
  const bytes = Buffer.from(JSON.stringify(json))
  return { bytes, mediaType, digest: digestOf(bytes) }
}

/** A registry that keeps manifests; with `lists` it says that it lists referrers by itself. */
async function registry(lists: boolean) {
  const kept = new Map<string, Buffer>()
  const server = await serve((request, response) => {
    const name = request.url!.split('/').at(-1)!
    if (request.method !== 'PUT') {
      const bytes = kept.get(name)
      return bytes === undefined ? response.writeHead(404).end() : response.end(bytes)
    }
    return buffer(request).then((bytes) => {
      kept.set(name, bytes)
      response.writeHead(201, lists ? { 'oci-subject': subject } : {}).end()
    })
  })
  const to = async (tag: string) => {
    const reference = parseReference(`${server.host}/a:${tag}`)
    const destination = await RegistryDestination.open(reference, {
      registriesConfig: { rules: [], searched: [], aliases: new Map() },
    })
    onTestFinished(() => destination.close())
    return destination
  }
  return { kept, to }
}

const tag = subject.replace(':', '-')

describe('a manifest that refers to another one', () => {
  test('is listed by a tag, beside those that are there and once', async () => {
    const { kept, to } = await registry(false)
    const [one, two] = [signature('one'), signature('two', { artifactType: 'application/x-signature' })]
    for (const manifest of [one, two, one]) await (await to('sig')).publish(manifest, undefined, signal)
    expect(JSON.parse(String(kept.get(tag)))).toEqual({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [
        {
          ...{ mediaType, digest: one.digest, size: one.bytes.length },
          artifactType: 'application/vnd.oci.empty.v1+json',
          annotations: { text: 'one' },
        },
        {
          ...{ mediaType, digest: two.digest, size: two.bytes.length },
          artifactType: 'application/x-signature',
          annotations: { text: 'two' },
        },
      ],
    })
  })

  test('is left to a registry that lists it by itself', async () => {
    const { kept, to } = await registry(true)
    await (await to('sig')).publish(signature('one'), undefined, signal)
    expect([...kept.keys()]).toEqual(['sig'])
  })
})
