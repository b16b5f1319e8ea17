/**
 * Pulls from a registry that misbehaves at random: the right image or the right error, no secret told, nothing broken
 * left behind. COMPOSEFS_SEED chooses other runs than the usual ones, COMPOSEFS_TEST_RUNS more of them.
 */
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { ComposefsError } from '../../../src/errors.ts'
import { importArchive, parseReference, pullImage, RegistryClient } from '../../../src/oci/index.ts'
import type { Repository } from '../../../src/repository/index.ts'
import { type Fatal, fatal, HostileRegistry } from '../../support/hostile-registry.ts'
import { ociArchive } from '../../support/image-archive.ts'
import { Random } from '../../support/random.ts'
import { type RandomImage, randomImage } from '../../support/random-images.ts'
import { runs } from '../../support/runs.ts'
import { leftovers, published, temporaryRepository } from '../../support/temporary-repository.ts'

const firstSeed = Number(process.env['COMPOSEFS_SEED'] ?? 0)
const batch = 20
const batches = runs(3)
const credentials = { username: 'someone', password: 'correct:horse"battery' }
const secret = Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')
const logins: ReadonlySet<string> = new Set(['foreign-realm', 'plain-realm', 'no-token', 'wrong-password'])

/** The id that the piped import gives. */
async function rightId(image: RandomImage): Promise<string> {
  const repository = await temporaryRepository()
  const [imported] = await importArchive(repository, Readable.from([ociArchive(image)]), { name: 'x' })
  return imported!.imageId.hex
}

function checkSound(repository: Repository, finished: boolean): void {
  expect(leftovers(repository)).toEqual([])
  for (const id of repository.objects.ids()) repository.objects.verify(id)
  const names = Object.keys(published(repository))
  if (!finished) expect(names.filter((name) => !name.startsWith('streams/oci-layer-sha256:'))).toEqual([])
  for (const contentId of repository.listStreams()) expect(repository.hasStream(contentId)).toBeDefined()
}

async function run(seed: number): Promise<void> {
  const random = new Random(seed)
  const image = randomImage(random.below(40))
  const end = random.chance(0.5) ? random.pick(Object.keys(fatal) as Fatal[]) : undefined
  const login = end !== undefined && logins.has(end) ? 'token' : random.pick(['none', 'basic', 'token'] as const)
  const rate = random.pick([0, 0.2, 0.5, 1])
  const registry = new HostileRegistry(image, { seed, rate, fatal: end, login, credentials })
  await registry.start()
  const repository = await temporaryRepository()
  const text: string[] = []
  const client = await RegistryClient.open(parseReference(registry.reference), {
    creds: `${credentials.username}:${credentials.password}`,
    registriesConfig: { rules: [], searched: [], aliases: new Map() },
    idleTimeout: 150,
    retryDelay: 1,
    retryTimes: 8,
    maxRetryWait: 5_000,
    maxManifest: 100_000,
    onRetry: ({ error }) => text.push(error.message),
  })
  const parallel = random.between(1, 4)
  const result = await pullImage(repository, client, { name: 'x', parallel }).catch((error: unknown) => error)
  await client.close()
  registry.close()

  if (result instanceof ComposefsError) {
    text.push(result.message, result.stack ?? '')
    expect(end, `${result.code} ${result.message}`).toBeDefined()
    // Damage may show in what the bytes mean before all of them are hashed.
    const damaged = end === 'wrong-digest' && /^ERR_(?:COMPRESSION|TAR|PAX|HARDLINK|PATH|NAME|PARENT)/.test(result.code)
    if (!damaged) expect(fatal[end!], result.message).toContain(result.code)
  } else {
    if (result instanceof Error) throw result
    expect(end).toBeUndefined()
    expect((result as { imageId: { hex: string } }).imageId.hex).toBe(await rightId(image))
  }
  checkSound(repository, !(result instanceof ComposefsError))
  const elsewhere = registry.seen.filter(({ place }) => place === 'elsewhere')
  expect(elsewhere.filter(({ headers }) => headers.authorization !== undefined)).toEqual([])
  expect(registry.seen.filter(({ url }) => url.includes(credentials.password) || url.includes(secret))).toEqual([])
  for (const message of text) {
    expect(message).not.toContain(credentials.password)
    expect(message).not.toContain(secret)
    expect(message).not.toContain('signature=')
    expect(message).not.toMatch(/Bearer [0-9a-f]{8}/)
  }
}

const seeds = Array.from({ length: batches }, (_, i) => firstSeed + i * batch)

test.each(seeds)('pulls from a hostile registry, seeds from %i on', async (first) => {
  // Several at once, for most of the time is spent waiting.
  const seeds = Array.from({ length: batch }, (_, i) => first + i)
  const results = await Promise.allSettled(seeds.map(run))
  results.forEach((result, i) => {
    if (result.status === 'rejected') throw new Error(`seed ${seeds[i]}`, { cause: result.reason })
  })
})
