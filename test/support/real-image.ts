import { createReadStream, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Descriptor,
  importLayer,
  type PublishedImage,
  parseIndex,
  parseManifest,
  publishImage,
} from '../../src/oci/index.ts'
import type { Repository } from '../../src/repository/index.ts'
import { run } from './cfsctl.ts'
import { blobName } from './image-archive.ts'
import { shared } from './shared.ts'
import { requireTools } from './tools.ts'

const { COMPOSEFS_FULL_IMAGE, COMPOSEFS_REQUIRE_TOOLS, REAL_IMAGE_CACHE } = process.env

/** A real operating system from a mirror, or a few files that take no network. */
export const realImageSize: 'full' | 'small' = COMPOSEFS_FULL_IMAGE === '1' ? 'full' : 'small'

/** Bytes that the image, its flattened root and the repositories take. */
export const realImageRoom: number = realImageSize === 'full' ? 6 * 2 ** 30 : 2 ** 30

/** Whether it cannot be built here, which is said once; an error where COMPOSEFS_REQUIRE_TOOLS=1 forbids that. */
export function skipRealImage(): boolean {
  if (!shared.available) return true
  const tools = ['bash', 'tar', 'python3', 'zstd', 'jq', 'setfattr', 'setcap', 'mount', 'mkfifo']
  if (requireTools(...tools, ...(realImageSize === 'full' ? ['debootstrap'] : [])).skip) return true
  if (process.getuid?.() === 0) return false
  const text = 'device nodes, owners and mounts take root'
  if (COMPOSEFS_REQUIRE_TOOLS === '1') throw new Error(`COMPOSEFS_REQUIRE_TOOLS=1, but ${text}`)
  console.warn(`skipped: ${text}`)
  return true
}

/** Builds it below a directory: `oci`, the layout; `layers`, the tars; `rootfs`, what they mean. */
export async function makeRealImage(directory: string): Promise<void> {
  const cache = REAL_IMAGE_CACHE ?? join(tmpdir(), 'composefs-real-image')
  const script = 'REAL_IMAGE_CACHE=$1 bash "$2" "$3" "$4"'
  await run('sh', ['-c', script, 'sh', cache, shared.path('fixtures/make-real-image.sh'), directory, realImageSize])
}

/** What the kernel shows of a mounted image, compared with the flattened root: all differences, and their count. */
export async function checkMounted(
  image: string,
  objects: string,
  root: string,
  xattrs: 'allow' | 'user' | 'all' = 'allow',
): Promise<string> {
  const args = [shared.path('fixtures/mount-check.sh'), image, objects, root, '--oci', '--xattrs', xattrs]
  return (await run('sh', ['-c', 'bash "$@" 2>&1 || :', 'sh', ...args])).toString().trimEnd()
}

/** A layout on disk with one image: exact bytes, and where its blobs are. */
export class Layout {
  readonly manifest: Buffer
  readonly config: Buffer
  readonly layers: readonly Descriptor[]
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
    this.manifest = this.blob(parseIndex(readFileSync(join(directory, 'index.json')))[0]!.digest)
    const { config, layers } = parseManifest(this.manifest)
    this.config = this.blob(config.digest)
    this.layers = layers
  }

  path(digest: string): string {
    return join(this.#directory, blobName(digest))
  }

  blob(digest: string): Buffer {
    return readFileSync(this.path(digest))
  }

  /** Layer by layer into a repository. */
  async importInto(repository: Repository, tag: string): Promise<PublishedImage> {
    const layers = new Map<string, Awaited<ReturnType<typeof importLayer>>['id']>()
    for (const { digest, size } of this.layers) {
      const { diffId, id } = await importLayer(repository, createReadStream(this.path(digest)), { digest, size })
      layers.set(diffId, id)
    }
    return publishImage(repository, { manifest: this.manifest, config: this.config, layers, tags: [tag] })
  }
}
