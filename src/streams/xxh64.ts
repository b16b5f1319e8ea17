/**
 * XXH64, the checksum of zstd frames, in 32-bit arithmetic.
 *
 * @packageDocumentation
 */
import { endianness } from 'node:os'

// The primes of the xxHash specification, each as its upper and lower 32 bits.
const p1h = 0x9e3779b1
const p1l = 0x85ebca87
const p2h = 0xc2b2ae3d
const p2l = 0x27d4eb4f
const p3h = 0x165667b1
const p3l = 0x9e3779f9
const p4h = 0x85ebca77
const p4l = 0xc2b2ae63
const p5h = 0x27d4eb2f
const p5l = 0x165667c5

const stripe = 32
const bigEndian = endianness() === 'BE'

/** The upper 32 bits of the product of two unsigned 32-bit numbers. */
function mulHigh(a: number, b: number): number {
  const a0 = a & 0xffff
  const a1 = a >>> 16
  const b0 = b & 0xffff
  const b1 = b >>> 16
  // Neither sum reaches 2^32.
  const middle = (Math.imul(a1, b0) >>> 0) + (Math.imul(a0, b0) >>> 16)
  const cross = (Math.imul(a0, b1) >>> 0) + (middle & 0xffff)
  return (Math.imul(a1, b1) + (middle >>> 16) + (cross >>> 16)) | 0
}

/**
 * A running XXH64 with seed 0 (spec: RFC 8878, section 3.1.1; xxHash fast digest algorithm, version 0.1.1).
 */
export class Xxh64 {
  /** Four accumulators, each upper half first. */
  readonly #lanes: Int32Array = Int32Array.of(p1h, p1l, p2h, p2l, 0, 0, 0, 0)
  /** Aligned room for whole stripes, since the input may begin at any address. */
  readonly #words: Int32Array = new Int32Array(4096)
  readonly #room: Buffer = Buffer.from(this.#words.buffer)
  /** Bytes of an unfinished stripe at the start of the room. */
  #held = 0
  /** Bytes taken so far; the lower 53 bits are exact, and zstd frames have no more. */
  #length = 0

  constructor() {
    const lanes = this.#lanes
    // v1 = P1 + P2, v2 = P2, v3 = 0, v4 = -P1
    const low = (p1l >>> 0) + (p2l >>> 0)
    lanes[0] = p1h + p2h + (low > 0xffffffff ? 1 : 0)
    lanes[1] = low
    lanes[6] = ~p1h
    lanes[7] = -p1l
  }

  update(bytes: Buffer): this {
    this.#length += bytes.length
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + this.#room.length - this.#held)
      bytes.copy(this.#room, this.#held, at, end)
      const filled = this.#held + end - at
      const whole = filled - (filled % stripe)
      if (bigEndian) this.#room.subarray(0, whole).swap32()
      this.#stripes(whole >>> 2)
      this.#room.copyWithin(0, whole, filled)
      this.#held = filled - whole
      at = end
    }
    return this
  }

  #stripes(count: number): void {
    const words = this.#words
    const lanes = this.#lanes
    for (let lane = 0; lane < 8; lane += 2) {
      let high = lanes[lane]!
      let low = lanes[lane + 1]!
      for (let i = lane; i < count; i += 8) {
        const wordLow = words[i]!
        // accumulator + word * P2
        const productLow = Math.imul(wordLow, p2l)
        const productHigh = (mulHigh(wordLow, p2l) + Math.imul(wordLow, p2h) + Math.imul(words[i + 1]!, p2l)) | 0
        const sum = (low >>> 0) + (productLow >>> 0)
        const sumHigh = (high + productHigh + (sum > 0xffffffff ? 1 : 0)) | 0
        const sumLow = sum | 0
        // rotated by 31 to the left
        const turnedHigh = (sumHigh << 31) | (sumLow >>> 1)
        const turnedLow = (sumLow << 31) | (sumHigh >>> 1)
        // * P1
        low = Math.imul(turnedLow, p1l)
        high = (mulHigh(turnedLow, p1l) + Math.imul(turnedLow, p1h) + Math.imul(turnedHigh, p1l)) | 0
      }
      lanes[lane] = high
      lanes[lane + 1] = low
    }
  }

  /** The whole hash of what was given so far. */
  digest(): bigint {
    return finish(this.#lanes, this.#length, this.#room.subarray(0, this.#held))
  }

  /** The lower 32 bits, as zstd frames end with them. */
  low32(): number {
    return Number(this.digest() & 0xffffffffn)
  }
}

const big = (high: number, low: number): bigint => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
const wrap = (value: bigint): bigint => BigInt.asUintN(64, value)
const rotate = (value: bigint, by: bigint): bigint => wrap((value << by) | (value >> (64n - by)))
const [P1, P2, P3, P4, P5] = [big(p1h, p1l), big(p2h, p2l), big(p3h, p3l), big(p4h, p4l), big(p5h, p5l)]

const round = (accumulator: bigint, word: bigint): bigint => wrap(rotate(wrap(accumulator + wrap(word * P2)), 31n) * P1)

/** Runs once a frame, so clarity goes before speed here. */
function finish(lanes: Int32Array, length: number, rest: Buffer): bigint {
  let hash = P5
  if (length >= stripe) {
    const [v1, v2, v3, v4] = [0, 2, 4, 6].map((i) => big(lanes[i]!, lanes[i + 1]!)) as [bigint, bigint, bigint, bigint]
    hash = wrap(rotate(v1, 1n) + rotate(v2, 7n) + rotate(v3, 12n) + rotate(v4, 18n))
    for (const v of [v1, v2, v3, v4]) hash = wrap(wrap(hash ^ round(0n, v)) * P1 + P4)
  }
  hash = wrap(hash + BigInt(length))
  let at = 0
  for (; at + 8 <= rest.length; at += 8) {
    hash = wrap(rotate(hash ^ round(0n, rest.readBigUInt64LE(at)), 27n) * P1 + P4)
  }
  for (; at + 4 <= rest.length; at += 4) {
    hash = wrap(rotate(hash ^ wrap(BigInt(rest.readUInt32LE(at)) * P1), 23n) * P2 + P3)
  }
  for (; at < rest.length; at++) hash = wrap(rotate(hash ^ wrap(BigInt(rest[at]!) * P5), 11n) * P1)
  hash = wrap((hash ^ (hash >> 33n)) * P2)
  hash = wrap((hash ^ (hash >> 29n)) * P3)
  return hash ^ (hash >> 32n)
}
