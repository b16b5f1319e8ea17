/**
 * What cfsctl 0.9.4 does to a repository, as far as it concerns others: its garbage collection, and the links that a pull
 * re-points. Real cfsctl is compared with it in test/interop.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, unlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { imageObjects } from '../../src/erofs/index.ts'
import { ObjectId } from '../../src/fsverity/index.ts'
import { configRef, configStream, layerStream, manifestStream, sha256, tagRef } from '../../src/oci/names.ts'
import { layersToTree, storeImage } from '../../src/oci/tree.ts'
import type { Repository } from '../../src/repository/index.ts'
import { placeLink } from '../../src/repository/links.ts'
import { contentTypes, encodeSplitstream, parseSplitstream } from '../../src/streams/index.ts'
import type { ImageBytes } from './image-archive.ts'

/** The object at the end of a first-level link. */
function linkedObject(link: string): ObjectId {
  const path = /^\.\.\/objects\/([0-9a-f]{2}\/[0-9a-f]+)$/.exec(readlinkSync(link))?.[1]
  const id = path === undefined ? undefined : ObjectId.fromPath(path)
  if (id === undefined) throw new Error(`cfsctl gc fails: ${link} leads to no object`)
  return id
}

function linksIn(directory: string): string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name === 'refs') return []
    if (!entry.isSymbolicLink()) throw new Error(`cfsctl gc fails: ${entry.name} is no symlink`)
    return entry.name
  })
}

/** All links below a directory of refs, by their paths. */
function refsBelow(directory: string): string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) return refsBelow(path)
    if (!entry.isSymbolicLink()) throw new Error(`cfsctl gc fails: ${path} is no symlink`)
    return path
  })
}

const rootsOf = (directory: string) => new Set(refsBelow(`${directory}/refs`).map((ref) => basename(readlinkSync(ref))))

/**
 * The objects that `cfsctl gc` leaves alone (gc_impl and walk_streams of its `repository.rs`).
 *
 * @param roots the streams that have refs; others than there are tell what would be if there were only these
 */
export function liveObjects(
  { path, algorithm }: Repository,
  roots: Iterable<string> = rootsOf(`${path}/streams`),
): Set<string> {
  const live = new Set<string>()
  const read = (id: ObjectId) => readFileSync(`${path}/objects/${id.path}`)
  for (const name of rootsOf(`${path}/images`)) {
    const id = linkedObject(`${path}/images/${name}`)
    live.add(id.hex)
    for (const { hex } of imageObjects(read(id))) live.add(hex)
  }
  const streams = linksIn(`${path}/streams`)
  // Of several links to one stream any will do.
  const names = new Map(streams.map((name) => [linkedObject(`${path}/streams/${name}`).hex, name]))
  const walked = new Set<string>()
  const walk = (name: string): void => {
    if (walked.has(name)) return
    walked.add(name)
    const stream = parseSplitstream(read(linkedObject(`${path}/streams/${name}`)), { algorithm })
    for (const { hex } of stream.objectRefs) live.add(hex)
    for (const { hex } of stream.namedRefs.values()) {
      live.add(hex)
      const next = names.get(hex)
      if (next !== undefined) walk(next)
    }
  }
  for (const name of roots) {
    live.add(linkedObject(`${path}/streams/${name}`).hex)
    walk(name)
  }
  return live
}

/** `cfsctl gc` */
export function collectGarbage(repository: Repository): void {
  const { path } = repository
  const live = liveObjects(repository)
  for (const id of repository.objects.ids()) if (!live.has(id.hex)) rmSync(repository.objects.pathOf(id))
  for (const kind of ['images', 'streams']) {
    const first = linksIn(`${path}/${kind}`).map((name) => `${path}/${kind}/${name}`)
    for (const links of [first, refsBelow(`${path}/${kind}/refs`)]) {
      for (const link of links) if (statSync(link, { throwIfNoEntry: false }) === undefined) unlinkSync(link)
    }
  }
}

/** `cfsctl oci pull`, of an image whose layers are there: config and manifest are written anew, and their links re-pointed. */
export async function pullAsCfsctl(
  repository: Repository,
  image: ImageBytes,
  tag: string,
  bootable: boolean,
): Promise<void> {
  const { path, algorithm, objects } = repository
  const digest = sha256(image.config)
  const { diff_ids: diffIds } = JSON.parse(image.config.toString()).rootfs as { diff_ids: string[] }
  const layers = diffIds.map((diffId) => [diffId, repository.resolveStream(layerStream(diffId)).id] as const)
  const write = (name: string, contentType: bigint, json: Buffer, namedRefs: Map<string, ObjectId>): ObjectId => {
    const body = { type: 'external', id: objects.put(json), size: json.length } as const
    const id = objects.put(encodeSplitstream({ algorithm, contentType, namedRefs, body }))
    placeLink(path, `streams/${name}`, `objects/${id.path}`)
    return id
  }
  const ids = layers.map(([, id]) => id)
  const version = repository.formats.default
  const refs = new Map<string, ObjectId>(layers)
  const add = async (name: string, boot: boolean): Promise<void> => {
    const id = await storeImage(repository, await layersToTree(repository, ids, { bootable: boot }), version)
    placeLink(path, `images/${id.hex}`, `objects/${id.path}`)
    refs.set(version === 2 ? name : `${name}.v1`, id)
  }
  // The plain images of other formats are forgotten.
  await add('composefs.image', false)
  if (bootable) await add('composefs.image.boot', true)
  const configId = write(configStream(digest), contentTypes.config, image.config, refs)
  const named = new Map<string, ObjectId>([[configRef(digest), configId], ...layers])
  const manifest = manifestStream(sha256(image.manifest))
  write(manifest, contentTypes.manifest, image.manifest, named)
  placeLink(path, `streams/refs/${tagRef(tag)}`, `streams/${manifest}`)
}
