/**
 * What images run on, and which image of an index is for which machine.
 *
 * @packageDocumentation
 */
import { readFileSync } from 'node:fs'
import { ComposefsError } from '../errors.ts'
import type { Descriptor, Platform } from './manifest.ts'

/** Known variants of an architecture, the most capable first: each runs what was made for those that follow. */
const variants: Readonly<Record<string, readonly string[]>> = {
  amd64: ['v4', 'v3', 'v2', 'v1'],
  arm: ['v8', 'v7', 'v6', 'v5'],
  arm64: ['v9', 'v8'],
}
/** What is meant where a platform is asked for without a variant, and it is not that of this machine. */
const usualVariant: Readonly<Record<string, string>> = { amd64: 'v1', arm: 'v7', arm64: 'v8' }

/** Flags of /proc/cpuinfo that the levels of amd64 ask for, beyond those of the level below (x86-64 psABI, table 3.1). */
const amd64Levels: readonly (readonly [level: string, flags: readonly string[]])[] = [
  ['v2', ['cx16', 'lahf_lm', 'popcnt', 'pni', 'sse4_1', 'sse4_2', 'ssse3']],
  ['v3', ['abm', 'avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'movbe', 'xsave']],
  ['v4', ['avx512bw', 'avx512cd', 'avx512dq', 'avx512f', 'avx512vl']],
]

/** The platform of this machine, as OCI calls it; with the variant of its processor where that can be told. */
export function hostPlatform(): Platform {
  const architectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' }
  const { arch, platform } = process
  const os = platform === 'darwin' ? 'linux' : platform
  const architecture = architectures[arch] ?? arch
  const variant = hostVariant(architecture)
  return { os, architecture, ...(variant !== undefined && { variant }) }
}

function hostVariant(architecture: string): string | undefined {
  if (architecture === 'arm64') return 'v8'
  if (architecture !== 'amd64' && architecture !== 'arm') return undefined
  try {
    return variantOf(architecture, readFileSync('/proc/cpuinfo', 'latin1'))
  } catch {
    return undefined
  }
}

/** The variant of a processor, by what /proc/cpuinfo says of it. */
export function variantOf(architecture: 'amd64' | 'arm', cpuinfo: string): string | undefined {
  if (architecture === 'arm') {
    const generation = /^CPU architecture\s*:\s*([5-8])/m.exec(cpuinfo)?.[1]
    return generation === undefined ? undefined : `v${generation}`
  }
  const flags = new Set(/^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.trim().split(/\s+/))
  let variant = 'v1'
  for (const [level, needed] of amd64Levels) {
    if (!needed.every((flag) => flags.has(flag))) break
    variant = level
  }
  return variant
}

/** Reads `OS/ARCHITECTURE[/VARIANT]`. @throws {@link ComposefsError} `ERR_ARGUMENT` */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split('/')
  if (!os || !architecture || variant === '' || rest.length > 0) {
    throw new ComposefsError('ERR_ARGUMENT', `not a platform: ${text}`, { hint: 'write it like linux/arm64' })
  }
  return { os, architecture, variant }
}

/**
 * The manifest for a platform among those of an index: that of its own variant, else the one that names no variant,
 * else the best of those that it can run. Where none fits, the first one that names no platform at all.
 *
 * @throws {@link ComposefsError} `ERR_OCI_PLATFORM`, naming those that are there
 */
export function choosePlatform(manifests: readonly Descriptor[], wanted: Platform): Descriptor {
  const { os, architecture } = wanted
  const alike = manifests.filter(({ platform }) => platform?.os === os && platform.architecture === architecture)
  for (const variant of variantsFor(wanted)) {
    const found = alike.find(({ platform }) => platform?.variant === variant)
    if (found !== undefined) return found
  }
  const unnamed = manifests.filter(({ platform }) => platform === undefined)
  const found = unnamed.find((entry) => !isNoImage(entry)) ?? unnamed[0]
  if (found !== undefined) return found
  const there = [...new Set(manifests.map(({ platform }) => platformText(platform)))]
  throw new ComposefsError('ERR_OCI_PLATFORM', `there is no image for ${platformText(wanted)}`, {
    hint: there.length === 0 ? 'the index names no image at all' : `choose one with --platform: ${there.join(', ')}`,
  })
}

/** Whether an entry of an index says that it is something else than an image: an SBOM, a signature, an attestation. */
export function isNoImage({ platform, annotations, artifactType }: Descriptor): boolean {
  return (
    artifactType !== undefined ||
    annotations['vnd.docker.reference.type'] !== undefined ||
    (platform?.os === 'unknown' && platform.architecture === 'unknown')
  )
}

/** Variants that run where one is wanted, the best first; undefined is an image that names none. */
function variantsFor({ architecture, variant }: Platform): (string | undefined)[] {
  const host = hostPlatform()
  const own = host.architecture === architecture ? host.variant : undefined
  const known = variants[architecture] ?? []
  const best = known.indexOf(variant ?? own ?? usualVariant[architecture] ?? '')
  const runnable = best < 0 ? [] : known.slice(best)
  return variant === undefined ? [undefined, ...runnable] : [variant, undefined, ...runnable]
}

function platformText(platform: Platform | undefined): string {
  if (platform === undefined) return '(none named)'
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined).join('/')
}
