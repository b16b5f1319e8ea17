/**
 * The options that limit what compressed data may expand to.
 *
 * @packageDocumentation
 */
import { type Command, Option } from 'commander'
import { ComposefsError } from '../errors.ts'
import type { DecompressorOptions } from '../streams/decompressor.ts'

/** Their values, as commander gives them. */
export interface LimitFlags {
  readonly maxRatio?: string
  readonly maxOutput?: string
  readonly maxLayerOutput?: string
}

/** Adds them to a command. */
export function addLimitOptions(command: Command): Command {
  return command
    .addOption(new Option('--max-output <bytes>', 'refuse an image whose layers hold more than this together'))
    .addOption(new Option('--max-layer-output <bytes>', 'refuse a layer that holds more than this'))
    .addOption(
      new Option(
        '--max-ratio <n>',
        'refuse data that expands to more than n times its size, beyond 4 GiB a layer; default: 300',
      ),
    )
}

/** What they mean to the library. @throws {@link ComposefsError} `ERR_ARGUMENT` */
export function limitsOf({ maxRatio, maxOutput, maxLayerOutput }: LimitFlags): {
  readonly maxOutput?: number
  readonly decompressor: DecompressorOptions
} {
  return {
    ...(maxOutput !== undefined && { maxOutput: positive('--max-output', maxOutput) }),
    decompressor: {
      ...(maxRatio !== undefined && { maxRatio: positive('--max-ratio', maxRatio) }),
      ...(maxLayerOutput !== undefined && { maxOutput: positive('--max-layer-output', maxLayerOutput) }),
    },
  }
}

/** @throws {@link ComposefsError} `ERR_ARGUMENT` */
export function positive(option: string, text: string): number {
  const value = Number(text)
  if (value > 0) return value
  throw new ComposefsError('ERR_ARGUMENT', `${option} takes a number above zero, not ${text}`)
}
