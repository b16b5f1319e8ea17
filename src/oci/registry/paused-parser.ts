/**
 * A way round a fault of undici (nodejs/undici#5360).
 *
 * @packageDocumentation
 */
import { channel } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'

interface Parser {
  readonly paused: boolean
  resume(): void
}

/** A body that waits may end in several pieces. */
const mostTurns = 3

let watching = false

/**
 * Keeps undici from crashing the process where a server closes its connection while the body waits for a slow reader:
 * what the parser holds is handed on before undici sees the end. For all its connections, as that is where it tells.
 */
export function drainPausedParsers(): void {
  if (watching) return
  watching = true
  channel('undici:client:connected').subscribe((message) => {
    const { socket } = message as { readonly socket: Socket }
    socket.prependListener('end', () => {
      const parser = parserOf(socket)
      for (let i = 0; i < mostTurns && parser?.paused === true; i++) parser.resume()
    })
  })
}

function parserOf(socket: Socket): Parser | undefined {
  const key = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'parser')
  return key && (socket as unknown as Record<symbol, Parser | undefined>)[key]
}
