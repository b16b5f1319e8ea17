import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, unlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { ObjectId } from '../../../src/fsverity/index.ts'
import { native } from '../../../src/native/libc.ts'
import { Repository } from '../../../src/repository/index.ts'
import { shared } from '../../support/shared.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { requireTools } from '../../support/tools.ts'

const { skip } = requireTools('cfsctl')
const { skip: skipImages } = requireTools('cfsctl', 'mkcomposefs')
const env = { ...process.env, RUST_BACKTRACE: '0' }

/** Standard output of a cfsctl that must succeed. */
function cfsctl(...args: string[]): string {
  return execFileSync('cfsctl', args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

const place = () => `${temporaryDirectory()}/repository`
const configurations = (['sha256', 'sha512'] as const).flatMap((algorithm) =>
  ([0, 1, 2] as const).map((erofsVersion) => ({ algorithm, erofsVersion })),
)

describe.skipIf(skip)('repositories of cfsctl', () => {
  test.each(configurations)(
    '$algorithm, version $erofsVersion: the same metadata',
    async ({ algorithm, erofsVersion }) => {
      const [theirs, ours] = [place(), place()]
      cfsctl(
        '--repo',
        theirs,
        'init',
        '--insecure',
        '--algorithm',
        `fsverity-${algorithm}-12`,
        '--erofs-version',
        `${erofsVersion}`,
      )
      const made = await Repository.init(ours, { algorithm, erofsVersion, insecure: true })
      await made.close()
      expect(readFileSync(`${ours}/meta.json`, 'utf8')).toBe(readFileSync(`${theirs}/meta.json`, 'utf8'))

      const opened = await Repository.open(theirs)
      expect(opened).toMatchObject({ algorithm, formats: { default: erofsVersion, extra: [] }, verityRequired: false })
      await opened.close()
      const again = await Repository.init(theirs, { algorithm, erofsVersion, insecure: true })
      expect(again.isNew).toBe(false)
      await again.close()
      expect(
        cfsctl(
          '--repo',
          ours,
          'init',
          '--insecure',
          '--algorithm',
          `fsverity-${algorithm}-12`,
          '--erofs-version',
          `${erofsVersion}`,
        ),
      ).toContain('already initialized')
      expect(cfsctl('--repo', ours, 'fsck')).toContain('status: ok')
    },
  )

  test('init without --insecure agrees on whether the file system can', async () => {
    const [theirs, ours] = [place(), place()]
    const { status } = spawnSync('cfsctl', ['--repo', theirs, 'init'], { env })
    const attempt = Repository.init(ours)
    if (status === 0) {
      const repository = await attempt
      expect(repository.verityRequired).toBe(true)
      await repository.close()
    } else {
      await expect(attempt).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_(REPOSITORY_VERITY|NATIVE_MISSING)$/),
      })
      expect(existsSync(ours)).toBe(false)
    }
  })

  test('an old repository that we brought up to date is one of V2 images for cfsctl', async () => {
    const path = place()
    const old = await Repository.init(path, { algorithm: 'sha256', erofsVersion: 2, insecure: true })
    old.objects.put(Buffer.from('contents'))
    await old.close()
    unlinkSync(`${path}/meta.json`)
    const repository = await Repository.open(path)
    repository.objects.put(Buffer.from('more'))
    await repository.close()
    expect(cfsctl('--repo', path, '--no-upgrade', 'fsck')).toContain('objects: 2/2 ok')
    expect(
      cfsctl('--repo', path, 'init', '--insecure', '--algorithm', 'fsverity-sha256-12', '--erofs-version', '2'),
    ).toContain('already initialized')
  })
})

describe.skipIf(skip || !shared.available)('streams', () => {
  test('that cfsctl imported are found by us, and named by us are found by cfsctl', async () => {
    const path = place()
    const layer = readFileSync(shared.path('vectors/layers/sizes.tar'))
    const id = `sha256:${execFileSync('sha256sum', { input: layer, encoding: 'utf8' }).slice(0, 64)}`
    cfsctl('--repo', path, 'init', '--insecure', '--algorithm', 'fsverity-sha512-12')
    const printed = execFileSync('cfsctl', ['--repo', path, 'oci', 'import-layer', id, 'theirs'], {
      env,
      input: layer,
      encoding: 'utf8',
    })
    const repository = await Repository.open(path, { algorithm: 'sha512' })
    const stream = ObjectId.parse(printed.trim())
    expect(repository.resolveStream('refs/theirs')).toEqual({ contentId: `oci-layer-${id}`, id: stream })
    for (const object of repository.objects.ids()) repository.objects.verify(object)
    await repository.setRef('streams', 'ours/deep', `oci-layer-${id}`)
    const copy = repository.objects.put(repository.readObject(stream))
    expect(copy).toEqual(stream)
    await repository.linkStream('another', copy)
    await repository.close()
    expect(execFileSync('cfsctl', ['--repo', path, 'cat', 'refs/ours/deep'], { env }).equals(layer)).toBe(true)
    expect(execFileSync('cfsctl', ['--repo', path, 'cat', 'another'], { env }).equals(layer)).toBe(true)
    expect(cfsctl('--repo', path, 'fsck')).toContain('streams: 2/2 ok')
    expect(cfsctl('--repo', path, 'gc')).toContain('Objects: 0 removed')
  })
})

describe.skipIf(skipImages)('images', () => {
  test('that we store and name are those of cfsctl', async () => {
    const image = execFileSync('mkcomposefs', ['--from-file', '-', '-'], { input: '/ 0 40755 2 0 0 0 0.0 - - -\n' })
    const path = place()
    const repository = await Repository.init(path, { algorithm: 'sha256', insecure: true })
    const id = repository.objects.put(image)
    await repository.transaction((transaction) => transaction.linkImage(id).setRef('images', 'my/image', id))
    await repository.close()
    expect(JSON.parse(cfsctl('--repo', path, 'images', '--json'))).toEqual({
      images: [{ name: 'my/image', digest: id.hex }],
    })
    expect(cfsctl('--repo', path, 'fsck')).toContain('images: 1/1 ok')
    const theirs = execFileSync('cfsctl', ['--repo', path, 'import-image', 'theirs'], {
      env,
      input: image,
      encoding: 'utf8',
    })
    expect(theirs.trim()).toBe(`${id}`)
    const again = await Repository.open(path)
    expect(again.resolveImage('theirs')).toEqual(id)
    expect(again.listImages().map(({ name }) => name)).toEqual(['my/image', 'theirs'])
    again.removeRef('images', 'my/image')
    again.removeRef('images', 'theirs')
    await again.close()
    expect(cfsctl('--repo', path, 'gc')).toContain('Objects: 1 removed')
    const emptied = await Repository.open(path)
    expect([...emptied.objects.ids()]).toEqual([])
    expect(emptied.listImageIds()).toEqual([])
    emptied.objects.put(image)
    expect(emptied.stats.newObjects).toBe(1)
    await emptied.close()
  })
})

describe.skipIf(skip || native() === undefined)('the lock', () => {
  /** Waits until the kernel says that a process has a lock of flock(2), or stands in line for one. */
  async function untilListed(pattern: string, pid: number): Promise<void> {
    for (let tries = 0; tries < 2000; tries++) {
      if (new RegExp(`${pattern} .* ${pid} `).test(readFileSync('/proc/locks', 'utf8'))) return
      await sleep(5)
    }
    throw new Error(`process ${pid} has not come as far as its lock`)
  }

  test('garbage collection by cfsctl waits until we have closed; a dry run does not', async () => {
    const path = place()
    const repository = await Repository.init(path, { algorithm: 'sha256', insecure: true })
    const id = repository.objects.put(Buffer.from('not linked yet'))
    expect(cfsctl('--repo', path, 'gc', '-n')).toContain('Objects: 1 removed')
    const collector = spawn('cfsctl', ['--repo', path, 'gc'], { env, stdio: 'ignore' })
    const ended = once(collector, 'close')
    await untilListed('-> FLOCK', collector.pid!)
    expect(collector.exitCode).toBeNull()
    expect(repository.hasObject(id)).toBe(true)
    await repository.close()
    expect((await ended)[0]).toBe(0)
    const again = await Repository.open(path)
    expect(again.hasObject(id)).toBe(false)
    await again.close()
  })

  test('we and a transaction of cfsctl share it', async () => {
    const path = place()
    await (await Repository.init(path, { insecure: true })).close()
    const holder = spawn('cfsctl', ['--repo', path, 'transaction'], { env, stdio: 'ignore' })
    await untilListed(': FLOCK', holder.pid!)
    const repository = await Repository.open(path)
    expect(repository.locked).toBe(true)
    await repository.close()
    expect(holder.exitCode).toBeNull()
    holder.kill()
    await once(holder, 'close')
  })
})
