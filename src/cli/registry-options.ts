/**
 * The options of commands that talk to registries.
 *
 * @packageDocumentation
 */
import { type Command, Option } from 'commander'
import { ComposefsError } from '../errors.ts'
import type { RegistryOptions } from '../oci/registry/registry.ts'
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

/** For options that may be given again: in commander's own way they would swallow the arguments that follow. */
export const several = (value: string, before: readonly string[] = []): string[] => [...before, value]

/** Adds them to a command. */
export function addRegistryOptions(command: Command): Command {
  return command
    .option('--creds <user:password>', 'credentials for the registry')
    .option('--authfile <file>', 'file with credentials; also REGISTRY_AUTH_FILE; default: those of podman and docker')
    .option(
      '--auth-realm <host>',
      'a token server on another site that may have the credentials; may be given again',
      several,
    )
    .option('--tls-verify [bool]', 'check certificates and refuse plain HTTP; default: true')
    .option('--cert-dir <dir>', 'directory with *.crt to trust, *.cert and *.key to show')
    .option('--retry-times <n>', 'how often a request is tried again; default: 5')
    .option('--timeout <seconds>', 'how long to wait for the other side; default: 60')
    .option('--parallel <n>', 'layers that are on their way at once; default: 4')
    .addOption(
      new Option('--progress <how>', 'progress on stderr')
        .choices(['auto', 'tty', 'plain', 'json', 'none'])
        .default('auto'),
    )
}

/** What they mean to the library. @throws {@link ComposefsError} `ERR_ARGUMENT` */
export function registryOptionsOf(flags: RegistryFlags): RegistryOptions & { readonly parallel?: number } {
  const { creds, authfile, authRealm, tlsVerify, certDir, retryTimes, parallel, timeout } = flags
  return {
    ...(creds !== undefined && { creds }),
    ...(authfile !== undefined && { authFile: authfile }),
    ...(authRealm !== undefined && { trustedRealms: authRealm }),
    ...(tlsVerify !== undefined && { tlsVerify: flag('--tls-verify', tlsVerify) }),
    ...(certDir !== undefined && { certDir }),
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
