import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** A line to a server that breaks. */
export interface CuttingLine {
  readonly host: string
  /** How often it broke so far. */
  readonly cuts: number
}

/** A connection to it breaks once it has carried so many bytes to the server, but only so many do. */
export async function cuttingLine(target: string, limit: number, times: number): Promise<CuttingLine> {
  const [name, port] = target.split(':')
  const sockets = new Set<Socket>()
  let cuts = 0
  const server = createServer((client) => {
    const remote = connect(Number(port), name)
    for (const socket of [client, remote]) sockets.add(socket.on('error', () => {}))
    let carried = 0
    client.on('data', (chunk) => {
      const part = cuts < times ? chunk.subarray(0, limit - carried) : chunk
      carried += part.length
      remote.write(part)
      if (cuts >= times || carried < limit) return
      cuts++
      client.destroy()
      remote.end()
    })
    remote.pipe(client)
    client.on('close', () => remote.end())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get cuts() {
      return cuts
    },
  }
}
