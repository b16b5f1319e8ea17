import { type Seconds, seconds } from '../tree/stat.ts'

/** Writes a time as 64 bits, two's complement. */
export function writeSeconds(view: DataView, at: number, time: Seconds): void {
  if (typeof time === 'bigint') {
    view.setBigInt64(at, time, true)
    return
  }
  // DataView takes numbers modulo 2^32.
  view.setUint32(at, time, true)
  view.setUint32(at + 4, Math.floor(time / 2 ** 32), true)
}

/** Reads a time of 64 bits, two's complement. */
export function readSeconds(view: DataView, at: number): Seconds {
  const high = view.getInt32(at + 4, true)
  const time = high * 2 ** 32 + view.getUint32(at, true)
  return Number.isSafeInteger(time) ? time : seconds(view.getBigInt64(at, true))
}
