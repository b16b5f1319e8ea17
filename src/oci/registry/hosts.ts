/**
 * What the name of a host tells.
 *
 * @packageDocumentation
 */
import { BlockList, isIP } from 'node:net'

/** Whether a host, with or without a port, is this machine: nobody listens on the way. */
export function isLoopback(host: string): boolean {
  const name = nameOf(host)
  return (
    name === 'localhost' || name.endsWith('.localhost') || name === '[::1]' || /^127(?:\.[0-9]{1,3}){3}$/.test(name)
  )
}

/** What is not reached over the internet: this machine, its links and private networks (RFC 6890). */
const inside = new BlockList()
for (const range of [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.0.0.0/24', '192.168.0.0/16', '198.18.0.0/15', '224.0.0.0/3'],
  ...['::/127', 'fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8'],
]) {
  const [address, bits] = range.split('/') as [string, string]
  inside.addSubnet(address, Number(bits), address.includes(':') ? 'ipv6' : 'ipv4')
}

/** Whether a host, with or without a port, is an address inside, or this machine by name. Other names tell nothing. */
export function isPrivate(host: string): boolean {
  const name = isIP(host) === 0 ? nameOf(host).replace(/^\[|\]$/g, '') : host
  const family = isIP(name)
  return family === 0 ? isLoopback(name) : inside.check(embedded(name), isIP(embedded(name)) === 6 ? 'ipv6' : 'ipv4')
}

/** The IPv4 address inside one of IPv6 (mapped, compatible, NAT64), as URLs write it. */
function embedded(address: string): string {
  const [, high, low] = /^(?:::(?:ffff:(?:0:)?)?|64:ff9b::)([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(address) ?? []
  const dotted = /^(?:::(?:ffff:(?:0:)?)?|64:ff9b::)((?:[0-9]+\.){3}[0-9]+)$/i.exec(address)?.[1]
  if (high === undefined || low === undefined) return dotted ?? address
  return [high, low].flatMap((hex) => [Number.parseInt(hex, 16) >> 8, Number.parseInt(hex, 16) & 255]).join('.')
}

/** Whether two hosts are one. Ports do not matter. */
export function isSameHost(a: string, b: string): boolean {
  return nameOf(a) === nameOf(b)
}

const nameOf = (host: string): string => host.replace(/:[0-9]+$/, '').toLowerCase()

/**
 * Whether two hosts belong to one operator, as far as names can tell: equal, one below the other, or side by side below
 * a domain that somebody owns (`registry-1.docker.io` and `auth.docker.io`). Ports do not matter.
 */
export function isSameSite(a: string, b: string): boolean {
  const [x, y] = [a, b].map(nameOf) as [string, string]
  if (x === y) return true
  if ([x, y].some((name) => /^\[|^[0-9.]+$/.test(name))) return false
  const [parentX, parentY] = [parentOf(x), parentOf(y)]
  return (
    (isOwned(x) && y.endsWith(`.${x}`)) ||
    (isOwned(y) && x.endsWith(`.${y}`)) ||
    (parentX === parentY && isOwned(parentX))
  )
}

const parentOf = (name: string): string => name.slice(name.indexOf('.') + 1)

/** Not `com`, and not `co.uk`, below which strangers live. */
function isOwned(name: string): boolean {
  const labels = name.split('.')
  const [second, top] = labels.slice(-2)
  if (labels.length < 2) return false
  return labels.length > 2 || !(top!.length === 2 && second!.length <= 3)
}
