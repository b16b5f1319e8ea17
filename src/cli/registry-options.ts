/**
 * The options of commands that talk to registries.
 *
 * @packageDocumentation
 */
import { type Command, Option } from 'commander'
import { ComposefsError } from '../errors.ts'
import type { RegistryOptions } from '../oci/registry/registry.ts'
import { several } from './options.ts'
import { note, noteJson } from './output.ts'
import type { ProgressMode } from './pull-report.ts'

/** Their values, as commander gives them. */
export interface RegistryFlags {
  readonly creds?: string
  readonly authfile?: string
  readonly authRealm?: string[]
  readonly tlsVerify?: string | true
  readonly certDir?: string
  readonly retryTimes?: string
  readonly parallel?: string
  readonly timeout?: string
  readonly progress: ProgressMode
}

/** Adds them to a command. */
export function addRegistryOptions(command: Command): Command {
  // For commander the word behind an option whose value may be missing is the value, also where it is the image.
  const parseOptions = command.parseOptions.bind(command)
  command.parseOptions = (args) => parseOptions(args.map(withValue))
  return command
    .option('--creds <user:password>', 'credentials for the registry')
    .option('--authfile <file>', 'file with credentials; also REGISTRY_AUTH_FILE; default: those of podman and docker')
    .option(
      '--auth-realm <host>',
      'a token server on another site that may have the credentials; may be given again',
      several,
    )
    .option(
      '--tls-verify [bool]',
      'check certificates and refuse plain HTTP; default: true, but plain HTTP is taken on loopback',
    )
    .option('--cert-dir <dir>', 'directory with *.crt to trust, *.cert and *.key to show')
    .option('--retry-times <n>', 'how often a request is tried again; default: 5')
    .option('--timeout <seconds>', 'how long the other side may do nothing, or next to nothing; default: 60')
    .option('--parallel <n>', 'layers that are on their way at once; default: 4')
    .addOption(
      new Option('--progress <how>', 'progress on stderr')
        .choices(['auto', 'tty', 'plain', 'json', 'none'])
        .default('auto'),
    )
}

/** What they mean to the library. @throws {@link ComposefsError} `ERR_ARGUMENT` */
export function registryOptionsOf(flags: RegistryFlags): RegistryOptions & { readonly parallel?: number } {
  const { creds, authfile, authRealm, tlsVerify, certDir, retryTimes, parallel, timeout, progress } = flags
  return {
    ...(creds !== undefined && { creds }),
    ...(authfile !== undefined && { authFile: authfile }),
    ...(authRealm !== undefined && { trustedRealms: authRealm }),
    ...(tlsVerify !== undefined && { tlsVerify: flag('--tls-verify', tlsVerify) }),
    ...(certDir !== undefined && { certDir }),
    ...(retryTimes !== undefined && { retryTimes: whole('--retry-times', retryTimes, 0) }),
    ...(parallel !== undefined && { parallel: whole('--parallel', parallel, 1) }),
    onWarning: warn(progress),
    ...(timeout !== undefined && { idleTimeout: whole('--timeout', timeout, 1) * 1000 }),
  }
}

/** Says what goes wrong and does not matter so far, as progress is told. */
function warn(progress: ProgressMode): (warning: ComposefsError) => void {
  if (progress === 'none') return () => {}
  if (progress === 'json') return ({ code, message }) => noteJson({ type: 'warning', code, message })
  return ({ message }) => note(`warning: ${message}`)
}

/** Gives `--tls-verify` its value, unless that follows. */
function withValue(arg: string, i: number, args: readonly string[]): string {
  const end = args.indexOf('--')
  const bare = arg === '--tls-verify' && (end < 0 || i < end) && readFlag(args[i + 1]) === undefined
  return bare ? `${arg}=true` : arg
}

function readFlag(text: string | undefined): boolean | undefined {
  return text === 'true' ? true : text === 'false' ? false : undefined
}

function flag(option: string, text: string | true): boolean {
  const value = text === true || readFlag(text)
  if (value !== undefined) return value
  throw new ComposefsError('ERR_ARGUMENT', `${option} takes true or false, not ${text}`)
}

function whole(option: string, text: string, least: number): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new ComposefsError('ERR_ARGUMENT', `${option} takes a whole number from ${least} on, not ${text}`)
}
