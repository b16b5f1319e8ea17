import { type Command, Option } from 'commander'
import { ComposefsError } from '../../errors.ts'
import { parsePlatform } from '../../oci/manifest.ts'
import { manifestStream } from '../../oci/names.ts'
import type { PublishedImage } from '../../oci/publish.ts'
import { pull } from '../../oci/transports.ts'
import { withNewRepository } from '../context.ts'
import { interruptible } from '../interrupt.ts'
import { LayerSums } from '../layer-sums.ts'
import { type TreeFlags, treeOptions, treeOptionsOf } from '../options.ts'
import { binarySize, printJson, printLine } from '../output.ts'
import { makePullReport, type ProgressMode } from '../pull-report.ts'

interface PullFlags extends TreeFlags {
  readonly creds?: string
  readonly authfile?: string
  readonly authRealm?: string[]
  readonly tlsVerify?: string | true
  readonly certDir?: string
  readonly platform?: string
  readonly retryTimes?: string
  readonly parallel?: string
  readonly timeout?: string
  readonly progress: ProgressMode
  readonly expectedDigest?: string
  readonly json?: true
}

/** `composefs oci pull`: an image by the name that skopeo gives it. */
export function addOciPullCommand(oci: Command): void {
  oci
    .command('pull')
    .description('pull an image, layer by layer from the socket; makes the repository')
    .argument('<image>', 'docker://REF, oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, dir:DIR, or a short name')
    .argument('[name]', 'tag of the image; default: the image as typed')
    .option('--creds <user:password>', 'credentials for the registry')
    .option('--authfile <file>', 'file with credentials; also REGISTRY_AUTH_FILE; default: those of podman and docker')
    .option('--auth-realm <host...>', 'a token server on another site that may have the credentials')
    .option('--tls-verify [bool]', 'check certificates and refuse plain HTTP; default: true')
    .option('--cert-dir <dir>', 'directory with *.crt to trust, *.cert and *.key to show')
    .option('--platform <os/arch>', 'which image of several; default: that of this machine')
    .option('--retry-times <n>', 'how often a request is tried again; default: 5')
    .option('--timeout <seconds>', 'how long to wait for the next byte; default: 60')
    .option('--parallel <n>', 'layers that are fetched at once; default: 4')
    .option('--bootable', 'make a boot image as well')
    .option('--expected-digest <hex>', 'with --bootable: find the way to make the boot image that has this id')
    .addOption(treeOptions.xattrs())
    .addOption(treeOptions.root())
    .addOption(treeOptions.implicitParents())
    .addOption(
      new Option('--progress <how>', 'progress on stderr')
        .choices(['auto', 'tty', 'plain', 'json', 'none'])
        .default('auto'),
    )
    .option('--json', 'print what was done as JSON')
    .addHelpText('after', '\nExample:\n  composefs oci pull docker://REGISTRY/IMAGE:TAG IMAGE')
    .action(async (image: string, name: string | undefined, flags: PullFlags, command: Command) => {
      await interruptible((signal) => pullOne(image, name ?? image, flags, command, signal))
    })
}

async function pullOne(image: string, name: string, flags: PullFlags, command: Command, signal: AbortSignal) {
  const { expectedDigest } = flags
  if (expectedDigest !== undefined && !flags.bootable) {
    throw new ComposefsError('ERR_ARGUMENT', '--expected-digest takes --bootable')
  }
  const tree = { ...treeOptionsOf(flags), ...(expectedDigest !== undefined && { expectedDigest }) }
  const options = { ...tree, ...registryOptions(flags), name, signal }
  await withNewRepository(command, async (repository) => {
    const report = makePullReport(flags.progress)
    const sums = new LayerSums(repository)
    const pulled = await pull(repository, image, {
      ...options,
      onEvent: (event) => {
        sums.event(event)
        report.event(event)
      },
      onRetry: (notice) => report.retry(notice),
    }).finally(() => report.end())
    const { manifestDigest, configDigest, images, imageId, boot } = pulled
    const { newObjects, presentObjects, newBytes, inlineBytes } = sums
    if (flags.json) {
      const byVersion = Object.fromEntries([...images].map(([version, id]) => [`v${version}`, id.hex]))
      const objects = { newObjects, presentObjects, newBytes, inlineBytes }
      const ids = { imageId: imageId.hex, images: byVersion, bootImageId: boot?.id.hex ?? null }
      await printJson({ manifestDigest, configDigest, ...ids, tags: [name], objects })
      return checkFound(pulled, expectedDigest)
    }
    const verity = repository.hasStream(manifestStream(manifestDigest))
    await printLine(`manifest ${manifestDigest}`)
    await printLine(`config   ${configDigest}`)
    await printLine(`verity   ${verity?.hex}`)
    await printLine(`tagged   ${name}`)
    const counts = `${newObjects} new + ${presentObjects} already present objects`
    await printLine(`objects  ${counts}; ${binarySize(newBytes)} stored, ${binarySize(inlineBytes)} inlined`)
    checkFound(pulled, expectedDigest)
    if (boot === undefined) return
    const made = expectedDigest === undefined ? '' : ` (xattr-mode=${boot.xattrs}, format-version=V${boot.version})`
    await printLine(`Boot image: ${boot.id.hex}${made}`)
  })
}

/** The pull is done all the same. */
function checkFound({ boot }: PublishedImage, expectedDigest: string | undefined): void {
  if (expectedDigest === undefined || boot !== undefined) return
  throw new ComposefsError('ERR_NOT_FOUND', 'no boot image has the expected digest', {
    path: expectedDigest,
    hint: 'tried 4 combinations: xattr modes allowlist-only and keep-user-xattrs, formats 1 and 2',
  })
}

function registryOptions(flags: PullFlags) {
  const { creds, authfile, authRealm, tlsVerify, certDir, platform, retryTimes, parallel, timeout } = flags
  return {
    ...(creds !== undefined && { creds }),
    ...(authfile !== undefined && { authFile: authfile }),
    ...(authRealm !== undefined && { trustedRealms: authRealm }),
    ...(tlsVerify !== undefined && { tlsVerify: flag('--tls-verify', tlsVerify) }),
    ...(certDir !== undefined && { certDir }),
    ...(platform !== undefined && { platform: parsePlatform(platform) }),
    ...(retryTimes !== undefined && { retryTimes: whole('--retry-times', retryTimes, 0) }),
    ...(parallel !== undefined && { parallel: whole('--parallel', parallel, 1) }),
    ...(timeout !== undefined && { idleTimeout: whole('--timeout', timeout, 1) * 1000 }),
  }
}

function flag(option: string, value: string | true): boolean {
  if (value === true || value === 'true') return true
  if (value === 'false') return false
  throw new ComposefsError('ERR_ARGUMENT', `${option} takes true or false, not ${value}`)
}

function whole(option: string, text: string, least: number): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new ComposefsError('ERR_ARGUMENT', `${option} takes a whole number from ${least} on, not ${text}`)
}
