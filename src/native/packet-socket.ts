/**
 * A socket to a child process that keeps packets apart and passes descriptors.
 *
 * @packageDocumentation
 */
import { closeSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { errnoException } from './errno.ts'
import type { Libc } from './libc.ts'

/** Largest packet, in bytes. */
const maxPacket = 64 * 1024
/** Bytes in front of the descriptor in control data, as 64-bit systems lay it out: `struct cmsghdr` of socket(7). */
const controlHeader = 16
const { EINTR } = constants.errno

/** One end. The other one, `theirs`, is for the child. */
export class PacketSocket {
  /** To be handed to a child, then to be closed with {@link closeTheirs}. */
  readonly theirs: number
  readonly #ours: number
  readonly #libc: Libc

  /** @throws what the operating system refuses, like errors of Node's `fs` */
  constructor(libc: Libc) {
    const pair = new Int32Array(2)
    const errno = libc.socketPair(pair)
    if (errno !== 0) throw errnoException(errno, 'socketpair')
    this.#libc = libc
    this.#ours = pair[0]!
    this.theirs = pair[1]!
  }

  closeTheirs(): void {
    closeSync(this.theirs)
  }

  /** Sends a packet. */
  send(packet: Buffer): void {
    writeSync(this.#ours, packet)
  }

  /** Waits for a packet, empty where the other end is gone, and the descriptor that came with it. One at a time. */
  async receive(): Promise<{ packet: Buffer; descriptor: number | undefined }> {
    const packet = Buffer.alloc(maxPacket)
    const control = new Int32Array(16)
    const bytes = Buffer.from(control.buffer)
    for (;;) {
      const { length, controlLength } = await this.#libc.recvmsg(this.#ours, packet, bytes)
      if (length === -EINTR) continue
      if (length < 0) throw errnoException(-length, 'recvmsg')
      const descriptor = controlLength >= controlHeader + 4 ? control[controlHeader / 4] : undefined
      return { packet: packet.subarray(0, length), descriptor }
    }
  }

  /** Not while somebody waits for a packet. */
  close(): void {
    closeSync(this.#ours)
  }
}
