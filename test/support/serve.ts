import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

/** A server that goes when the test ends, and what it was asked. */
export interface Served {
  /** `127.0.0.1:PORT` */
  readonly host: string
  readonly requests: IncomingMessage[]
  /** `GET /v2/…` of each, without those that find out which protocol is spoken. */
  readonly lines: () => string[]
}

/** Answers every request on loopback with a function. */
export async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => unknown,
  address = '127.0.0.1',
): Promise<Served> {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    response.on('error', () => {})
    if (request.url === '/v2/') {
      response.end('{}')
      return
    }
    requests.push(request)
    answer(request, response)
  })
  server.on('clientError', (_error, socket) => socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, address, resolve))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return { host: `${address}:${port}`, requests, lines: () => requests.map(({ method, url }) => `${method} ${url}`) }
}
