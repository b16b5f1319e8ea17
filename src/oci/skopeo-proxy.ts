/**
 * `skopeo experimental-image-proxy`: requests over a socket, data through pipes that it hands over.
 *
 * @packageDocumentation
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import { ComposefsError } from '../errors.ts'
import { errnoOf } from '../native/errno.ts'
import { requireNative } from '../native/libc.ts'
import { PacketSocket } from '../native/packet-socket.ts'
import { JsonReader } from './json.ts'

/** An answer that comes through a pipe. */
export interface ProxyPipe {
  readonly value: unknown
  readonly stream: Socket
  /** Settles when all was sent, or was not. */
  readonly finished: Promise<void>
}

interface Reply {
  readonly value: unknown
  readonly pipe: { readonly id: number; readonly descriptor: number } | undefined
}

/** Most bytes of what skopeo says on stderr that are kept for messages. */
const maxComplaint = 2048
/** The descriptor of the socket in the child. */
const childDescriptor = 3

/** One process of skopeo. It answers one request after the other. */
export class SkopeoProxy {
  readonly #child: ChildProcess
  readonly #socket: PacketSocket
  readonly #exited: Promise<void>
  #turn: Promise<unknown> = Promise.resolve()
  #complaint = ''
  #failure: Error | undefined
  #closed = false

  private constructor(child: ChildProcess, socket: PacketSocket) {
    this.#child = child
    this.#socket = socket
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#failure = error
        resolve()
      })
      child.once('exit', () => resolve())
    })
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#complaint = `${this.#complaint}${chunk}`.slice(-maxComplaint)
    })
  }

  /**
   * Starts skopeo and greets it.
   *
   * @param args global options of skopeo
   * @param name of the image, for messages
   * @throws {@link ComposefsError} `ERR_NATIVE_MISSING` without koffi, `ERR_OCI_TRANSPORT`
   */
  static async start(args: readonly string[], name: string): Promise<SkopeoProxy> {
    const wayRound = `pipe the image: skopeo copy -q ${name} docker-archive:/dev/stdout | composefs import`
    const socket = new PacketSocket(requireNative('talk to skopeo', wayRound))
    const child = spawn('skopeo', [...args, 'experimental-image-proxy', '--sockfd', `${childDescriptor}`], {
      stdio: ['ignore', 'ignore', 'pipe', socket.theirs],
    })
    // With ours alone open, the end of the child is the end of the conversation.
    socket.closeTheirs()
    const proxy = new SkopeoProxy(child, socket)
    try {
      await proxy.call('Initialize')
    } catch (error) {
      await proxy.close()
      throw error
    }
    return proxy
  }

  /** A request whose answer is a value. */
  async call(method: string, ...args: unknown[]): Promise<unknown> {
    return this.#inTurn(async () => (await this.#exchange(method, args)).value)
  }

  /** A request whose answer comes through a pipe. The next request waits until that is read, or destroyed. */
  open(method: string, ...args: unknown[]): Promise<ProxyPipe> {
    return new Promise((resolve, reject) => {
      this.#inTurn(async () => {
        const { value, pipe } = await this.#exchange(method, args)
        if (pipe === undefined) throw failed(`skopeo hands over no pipe for ${method}`)
        const stream = new Socket({ fd: pipe.descriptor, readable: true, writable: false })
        // It closes its end of the pipe only once it is asked whether all went well.
        const finished = this.#exchange('FinishPipe', [pipe.id]).then(() => {})
        finished.catch(() => {})
        resolve({ value, stream, finished })
        await finished.catch(() => {})
      }).catch(reject)
    })
  }

  /** All that comes through a pipe. */
  async read(limit: number, method: string, ...args: unknown[]): Promise<Buffer> {
    const { stream, finished } = await this.open(method, ...args)
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > limit) throw new ComposefsError('ERR_LIMIT', `the answer of skopeo to ${method} is too large`)
      chunks.push(chunk)
    }
    await finished
    return Buffer.concat(chunks)
  }

  /** Ends skopeo. What is on its way fails. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#child.kill()
    await this.#exited
    await this.#turn.catch(() => {})
    this.#socket.close()
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #exchange(method: string, args: readonly unknown[]): Promise<Reply> {
    try {
      this.#socket.send(Buffer.from(JSON.stringify({ method, args })))
    } catch (error) {
      throw await this.#ended(error)
    }
    const { packet, descriptor } = await this.#socket.receive()
    if (packet.length === 0) throw await this.#ended()
    try {
      return this.#reply(packet, descriptor)
    } catch (error) {
      if (descriptor !== undefined) closeSync(descriptor)
      throw error
    }
  }

  #reply(packet: Buffer, descriptor: number | undefined): Reply {
    const json = new JsonReader('answer of skopeo')
    const { success, value, pipeid, error } = json.object(json.parse(packet))
    if (success !== true) throw failed(`skopeo says: ${json.string(error, 'error')}`)
    const pipe = descriptor === undefined ? undefined : { id: json.size(pipeid, 'pipeid'), descriptor }
    return { value, pipe }
  }

  async #ended(cause?: unknown): Promise<ComposefsError> {
    await this.#exited
    if (errnoOf(this.#failure) === 'ENOENT') {
      return failed('the program skopeo is missing', 'install it, version 1.7 or later', this.#failure)
    }
    const complaint = this.#complaint.trim().split('\n').at(-1)!
    return failed(`skopeo ended in the middle${complaint === '' ? '' : `: ${complaint}`}`, undefined, cause)
  }
}

function failed(what: string, hint?: string, cause?: unknown): ComposefsError {
  return new ComposefsError('ERR_OCI_TRANSPORT', what, {
    ...(hint !== undefined && { hint }),
    ...(cause !== undefined && { cause }),
  })
}
