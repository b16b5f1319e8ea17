/**
 * One odd layer after the other, merged onto a base by the reference tools: the same tree and the same ids, or what is
 * right where the reference is wrong.
 */
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { ErofsVersion } from '../../src/erofs/format.ts'
import { writeImage } from '../../src/erofs/index.ts'
import { type Algorithm, fsverityDigest, type ObjectId } from '../../src/fsverity/index.ts'
import { importLayer, layersToTree } from '../../src/oci/index.ts'
import type { Repository } from '../../src/repository/index.ts'
import { dumpfileText } from '../../src/streams/index.ts'
import type { FileSystem } from '../../src/tree/index.ts'
import { type Ids, layerTar } from '../support/golden-images.ts'
import { shared } from '../support/shared.ts'
import { published, temporaryRepository } from '../support/temporary-repository.ts'

interface Result {
  readonly outcome: 'accept' | 'reject'
  readonly error?: string
  readonly ids?: Ids
  readonly dumpfile?: string
}

interface Vector {
  readonly diff_id: string
  readonly import?: { readonly outcome: 'accept' | 'reject' }
  readonly image_on_base?: Result
  readonly right?: Result
  readonly bug?: string
}

/** Layers that can be stored, but of which no image can be made. */
const noImage: Record<string, string> = {
  'hardlink-forward': 'ERR_HARDLINK_TARGET',
  'hardlink-empty-target': 'ERR_HARDLINK_TARGET',
  'path-root-file': 'ERR_ROOT_NOT_DIRECTORY',
  'path-dotdot-inside': 'ERR_PATH_INVALID',
  'parent-missing-dir': 'ERR_PARENT_MISSING',
  'parent-is-symlink': 'ERR_PARENT_NOT_DIRECTORY',
  'wh-run-and-usr-gone': 'ERR_USR_MISSING',
  'type-unknown-uppercase': 'ERR_TAR_TYPE',
  'dev-v7': 'ERR_TAR_TYPE',
  'pax-x-v7': 'ERR_TAR_TYPE',
  // The reference makes images of these that no kernel can use.
  'symlink-empty-target': 'ERR_SYMLINK_TARGET',
  'path-dotdot-dir-last': 'ERR_PATH_INVALID',
  // The reference loses the prefix, and so finds a parent.
  'magic-odd-version': 'ERR_PARENT_MISSING',
}

/** Layers that are refused before they are stored (test/golden/streams has the codes of those that both refuse). */
const notStored: Record<string, string> = {
  'name-pax-nul': 'ERR_PAX_VALUE',
  'pax-uid-33-bits': 'ERR_PAX_VALUE',
  'sparse-pax-1.0-no-map': 'ERR_TAR_SPARSE',
}

const vectors: Record<string, Vector> = shared.available ? shared.json('vectors/splitstreams.json') : {}

async function store(repository: Repository, name: string) {
  return importLayer(repository, Readable.from([layerTar(name)]))
}

function text(fileSystem: FileSystem): string {
  return dumpfileText(fileSystem, { firstNames: true }).toString('latin1')
}

async function idsOf(repository: Repository, layers: readonly ObjectId[], wanted: Ids): Promise<Ids> {
  const { algorithm } = repository
  const names = Object.keys(wanted).filter((name) => name.startsWith(algorithm))
  const ids: Record<string, string> = {}
  for (const name of names) {
    const [, digit, filter] = /-V([012])(?:-(keep-user-xattrs))?$/.exec(name)!
    const xattrs = filter === undefined ? 'allowlist-only' : 'keep-user-xattrs'
    const fileSystem = await layersToTree(repository, layers, { xattrs })
    ids[name] = fsverityDigest(algorithm, writeImage(fileSystem, { version: Number(digit) as ErofsVersion })).hex
  }
  return ids
}

describe.skipIf(!shared.available)('layers on a base', () => {
  for (const [name, vector] of Object.entries(vectors)) {
    const wanted = vector.right ?? vector.image_on_base
    if (noImage[name] !== undefined) {
      test(`no image can be made: ${name}`, async () => {
        const repository = await temporaryRepository()
        const layers = [(await store(repository, 'base')).id, (await store(repository, name)).id]
        await expect(layersToTree(repository, layers)).rejects.toMatchObject({
          code: noImage[name],
          message: expect.stringMatching(/^layer 2 of 2: |^there is no \/usr/),
        })
      })
    } else if (notStored[name] !== undefined) {
      test(`is not stored: ${name}`, async () => {
        const repository = await temporaryRepository()
        await expect(store(repository, name)).rejects.toMatchObject({ code: notStored[name] })
        expect(published(repository)).toEqual({})
      })
    } else if (wanted?.outcome === 'accept') {
      test.each<Algorithm>(['sha256', 'sha512'])(`${name}: %s`, async (algorithm) => {
        const repository = await temporaryRepository({ algorithm })
        const base = await store(repository, 'base')
        const layer = await store(repository, name)
        expect(layer.diffId).toBe(vector.diff_id)
        const layers = [base.id, layer.id]
        if (algorithm === 'sha256') expect(text(await layersToTree(repository, layers))).toBe(wanted.dumpfile)
        const ids = Object.entries(wanted.ids!).filter(([id]) => id.startsWith(algorithm))
        expect(ids.length).toBeGreaterThan(0)
        expect(await idsOf(repository, layers, wanted.ids!)).toEqual(Object.fromEntries(ids))
      })
    }
  }

  test('every vector that says something about images is looked at', () => {
    const silent = Object.entries(vectors).filter(
      ([name, { right, image_on_base }]) =>
        (right ?? image_on_base)?.outcome !== 'accept' && noImage[name] === undefined && notStored[name] === undefined,
    )
    // What the reference does not store has no image; test/golden/streams looks at it.
    expect(silent.filter(([, vector]) => vector.import?.outcome !== 'reject').map(([name]) => name)).toEqual([])
  })
})
