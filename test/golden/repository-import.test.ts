/**
 * Repositories that cfsctl has filled: importing the same images gives the same tree of paths and links, the same
 * contents, JSON documents and images. Splitstreams are compared taken apart, since their bytes depend on the encoder.
 */
import { lstatSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { ErofsVersion } from '../../src/erofs/format.ts'
import type { Algorithm } from '../../src/fsverity/index.ts'
import { importArchive, importLayer, layerStream, listImages, tagImage, untagImage } from '../../src/oci/index.ts'
import type { Repository } from '../../src/repository/index.ts'
import { parseSplitstream } from '../../src/streams/index.ts'
import { tree } from '../support/files.ts'
import { type GoldenStream, golden, goldenArchive, layerTar } from '../support/golden-images.ts'
import { shared } from '../support/shared.ts'
import { published, temporaryRepository } from '../support/temporary-repository.ts'

type Tree = Record<string, number | string | null>

interface Filled {
  readonly 'meta.json': string
  readonly tree: Tree
  readonly streams_base64: Record<string, string>
  readonly images: string
}

interface Sequence {
  readonly 'meta.json': string
  readonly modes: Record<string, string>
  readonly steps: readonly { args: string[]; added?: Tree; removed?: string[]; stdout_json?: { images: object[] } }[]
  readonly streams: Record<string, GoldenStream>
}

const objectPath = (link: string | number | null) => /^-> (?:\.\.\/)+(objects\/.*)$/.exec(String(link))?.[1]

/** The tree with the splitstreams taken out and links to them reduced to the fact; directories left out. */
function comparable(found: Tree): Tree {
  const streams = Object.entries(found).filter(([name]) => /^streams\/[^/]+$/.test(name))
  const splitstreams = new Set(streams.map(([, link]) => objectPath(link)))
  return Object.fromEntries(
    Object.entries(found)
      .filter(([name, value]) => value !== null && !splitstreams.has(name))
      .map(([name, value]) => [name, splitstreams.has(objectPath(value)) ? '-> a splitstream' : value]),
  )
}

/** What is in the one tree and not in the other. */
function without(a: Tree, b: Tree): string[] {
  return Object.keys(a).filter((name) => a[name] !== b[name])
}

/** A stream of ours as the reference's files describe one; ids of streams are replaced by what they are of. */
function describeStream(repository: Repository, contentId: string) {
  const { algorithm } = repository
  const stream = parseSplitstream(repository.readObject(repository.resolveStream(contentId).id), { algorithm })
  const labels = streamLabels(published(repository))
  const index = (hex: string) => stream.streamRefs.findIndex((id) => id.hex === hex)
  return {
    content_type: contentTypeName(stream.contentType),
    stream_size: stream.streamSize,
    object_refs: stream.objectRefs.map(String).map(plainHex),
    stream_refs: stream.streamRefs.map(({ hex }) => labels.get(hex) ?? hex),
    named_refs: [...stream.namedRefs].map(([name, { hex }]) => `${index(hex)}:${name}`),
  }
}

function contentTypeName(contentType: bigint): string {
  const name = Buffer.alloc(8)
  name.writeBigUInt64LE(contentType)
  return name.toString('latin1')
}

const plainHex = (text: string) => text.replace(/^.*:/, '')

/** Content ids by the hex id of their splitstream. */
function streamLabels(links: Tree): Map<string, string> {
  return new Map(
    Object.entries(links)
      .filter(([name]) => /^streams\/[^/]+$/.test(name))
      .map(([name, link]) => [
        objectPath(link)!.replace('objects/', '').replace('/', ''),
        name.replace('streams/', ''),
      ]),
  )
}

const repositories: Record<string, Filled> = shared.available ? shared.json('vectors/repository.json') : {}
const sequences: Record<string, Sequence> = shared.available ? shared.json('vectors/repository-more.json') : {}

describe.skipIf(!shared.available)('an import makes what cfsctl makes', () => {
  test.each(Object.entries(repositories))('%s', async (label, filled) => {
    const [, name, algorithm, version] = /^(.*)-(sha256|sha512)-V([12])$/.exec(label)!
    const erofsVersion = Number(version) as ErofsVersion
    const repository = await temporaryRepository({ algorithm: algorithm as Algorithm, erofsVersion })
    await importArchive(repository, Readable.from([goldenArchive(golden[name!]!)]), { name: 'img/tag' })

    expect(readFileSync(join(repository.path, 'meta.json'), 'utf8')).toBe(filled['meta.json'])
    const [ours, theirs] = [comparable(tree(repository.path) as Tree), comparable(filled.tree)]
    expect(without(ours, theirs)).toEqual([])
    // The config and the manifest stream from before the image was noted in them: garbage.
    const garbage = without(theirs, ours)
    expect(garbage).toHaveLength(2)
    expect(garbage.every((path) => path.startsWith('objects/'))).toBe(true)
    expect({ images: [...listImages(repository)] }).toMatchObject({
      images: (JSON.parse(filled.images) as { images: { name: string; manifest_digest: string }[] }).images.map(
        ({ name, manifest_digest }) => ({ name, manifestDigest: manifest_digest }),
      ),
    })

    const labels = streamLabels(filled.tree)
    for (const [contentId, text] of Object.entries(filled.streams_base64)) {
      const theirs = parseSplitstream(Buffer.from(text, 'base64'), { algorithm: repository.algorithm })
      const ours = describeStream(repository, contentId)
      expect(ours.stream_size).toBe(theirs.streamSize)
      expect(ours.object_refs).toEqual(theirs.objectRefs.map(({ hex }) => hex))
      expect(ours.content_type).toBe(contentTypeName(theirs.contentType))
      const named = ({ hex }: { hex: string }) => labels.get(hex) ?? hex
      if (contentId.startsWith('oci-config')) {
        expect(ours.stream_refs).toEqual(theirs.streamRefs.map(named))
        expect(ours.named_refs.map(plainName)).toEqual([...theirs.namedRefs.keys()])
      } else {
        // In the reference the order of a manifest's refs varies from run to run.
        expect([...ours.stream_refs].sort()).toEqual(theirs.streamRefs.map(named).sort())
        expect(ours.named_refs.map(plainName).sort()).toEqual([...theirs.namedRefs.keys()].sort())
      }
    }
  })

  test.each(['pull-V2', 'pull-again', 'pull-default-name', 'pull-tags-gc'])('%s', async (label) => {
    const { 'meta.json': metadata, steps, streams, modes } = sequences[label]!
    const repository = await temporaryRepository({ erofsVersion: label === 'pull-V2' ? 2 : 1 })
    expect(readFileSync(join(repository.path, 'meta.json'), 'utf8')).toBe(metadata)
    const everything: Tree = {}
    for (const { args, added = {}, removed = [], stdout_json } of steps) {
      const before = tree(repository.path) as Tree
      if (args[1] === 'pull') await pull(repository, added, args[3] ?? args[2]!)
      else if (args[1] === 'tag') await tagImage(repository, args[2]!, args[3]!)
      else if (args[1] === 'untag' && removed.length > 0) untagImage(repository, args[2]!)
      if (stdout_json !== undefined) {
        expect([...listImages(repository)]).toMatchObject(
          (stdout_json.images as { name: string }[]).map(({ name }) => ({ name, isContainer: true })),
        )
      }
      if (args[0] === 'gc' || args[0] === 'init') continue
      Object.assign(everything, added)
      const now = comparable(tree(repository.path) as Tree)
      const links = (all: Tree) => Object.entries(all).filter(([, value]) => typeof value === 'string')
      const fresh = Object.fromEntries(Object.entries(now).filter(([name]) => before[name] === undefined))
      const wanted = Object.fromEntries(links(comparable(everything)).filter(([name]) => added[name] !== undefined))
      expect(Object.fromEntries(links(fresh))).toEqual(wanted)
      // New splitstreams, and their garbage, have other names; all other new objects are theirs, of the same size.
      const objects = Object.entries(fresh).filter(([name]) => name.startsWith('objects/'))
      if (args[1] === 'pull' && Object.keys(before).length === 1) expect(objects.length).toBeGreaterThan(2)
      expect(added).toMatchObject(Object.fromEntries(objects))
    }
    for (const [contentId, stream] of Object.entries(streams)) {
      const { content_type, stream_size, object_refs } = stream
      const ours = describeStream(repository, contentId)
      expect(ours).toMatchObject({ content_type, stream_size, object_refs })
      if (stream.named_refs !== undefined) expect(ours.named_refs).toEqual(stream.named_refs)
      else {
        const { refs_in_any_order = {} } = stream
        expect(ours.named_refs.map(plainName).sort()).toEqual(Object.keys(refs_in_any_order).sort())
      }
    }
    expect(modesOf(repository, modes)).toEqual(modes)
  })

  test('layers alone', async () => {
    const { layers: sequence } = sequences
    const { steps, streams, modes } = sequence!
    const repository = await temporaryRepository({ erofsVersion: 1 })
    const diffIds = Object.entries(shared.json('vectors/splitstreams.json') as Record<string, { diff_id: string }>)
    const layers = new Map(diffIds.map(([name, { diff_id }]) => [diff_id, name]))
    const wrong: string[] = []
    for (const { args, added = {} } of steps) {
      if (args[1] !== 'import-layer') continue
      const [, , diffId, ref] = args
      const name = layers.get(diffId!)
      if (name === undefined) {
        // The reference takes the bytes of another layer under this digest.
        const importing = importLayer(repository, Readable.from([layerTar('base')]), { diffId: diffId! })
        await expect(importing).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
        wrong.push(layerStream(diffId!))
        continue
      }
      const layer = await importLayer(repository, Readable.from([layerTar(name)]), { diffId: diffId! })
      await repository.transaction((transaction) => {
        transaction.linkStream(layerStream(layer.diffId), layer.id)
        if (ref !== undefined) transaction.setRef('streams', ref, layerStream(layer.diffId))
      })
      const refs = Object.entries(added).filter(([path, to]) => path.startsWith('streams/refs/') && to !== null)
      expect(published(repository)).toMatchObject(Object.fromEntries(refs))
    }
    expect(wrong).toHaveLength(1)
    expect(repository.listStreams()).toEqual(Object.keys(streams).filter((contentId) => !wrong.includes(contentId)))
    for (const [contentId, { stream_size, object_refs }] of Object.entries(streams)) {
      if (wrong.includes(contentId)) continue
      expect(describeStream(repository, contentId)).toMatchObject({
        content_type: 'ocilayer',
        stream_size,
        object_refs,
      })
    }
    expect(modesOf(repository, modes)).toEqual(modes)
  })
})

const plainName = (ref: string) => ref.replace(/^\d+:/, '')

/** Imports the image whose manifest the reference's step has added, or tagged. */
async function pull(repository: Repository, added: Tree, name: string): Promise<void> {
  const digest = /oci-manifest-(sha256:[0-9a-f]{64})/.exec(Object.keys(added).join() + Object.values(added).join())?.[1]
  const known = [...listImages(repository)].map((image) => ('error' in image ? '' : image.manifestDigest))[0]
  const image = Object.values(golden).find(({ manifest_digest }) => manifest_digest === (digest ?? known))!
  await importArchive(repository, Readable.from([goldenArchive(image)]), { name })
}

function modesOf(repository: Repository, wanted: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.keys(wanted).map((path) => [path, (lstatSync(join(repository.path, path)).mode & 0o7777).toString(8)]),
  )
}
