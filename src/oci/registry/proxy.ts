/**
 * The proxies that the environment names, as curl and Go read it.
 *
 * @packageDocumentation
 */
import { BlockList, isIP } from 'node:net'

/** The proxy on the way to a host; undefined where there is none. */
export function proxyFor(secure: boolean, host: string, port: number): URL | undefined {
  const proxy = variable(secure ? 'https_proxy' : 'http_proxy')
  if (proxy === '' || isExcepted(host.toLowerCase(), port, variable('no_proxy'))) return undefined
  // Many leave the scheme out.
  const text = proxy.includes('://') ? proxy : `http://${proxy}`
  return URL.canParse(text) ? new URL(text) : undefined
}

const variable = (name: string): string => process.env[name] || process.env[name.toUpperCase()] || ''

/** `*`, or names with everything below them, addresses and ranges of addresses, each perhaps with a port. */
function isExcepted(host: string, port: number, exceptions: string): boolean {
  return exceptions
    .toLowerCase()
    .split(/[\s,]+/)
    .some((text) => {
      if (text === '' || text === '*') return text === '*'
      if (text.includes('/')) return isInRange(host, text)
      const [, name = '', only] = /^\[?([^\]]*?)\]?(?::([0-9]+))?$/.exec(isIP(text) === 6 ? `[${text}]` : text) ?? []
      if (only !== undefined && Number(only) !== port) return false
      const domain = name.replace(/^\*?\./, '')
      return host === domain || (isIP(host) === 0 && host.endsWith(`.${domain}`))
    })
}

function isInRange(address: string, range: string): boolean {
  const [network = '', bits] = range.split('/')
  const families = [isIP(address), isIP(network)]
  if (families.includes(0) || families[0] !== families[1]) return false
  const family = families[0] === 6 ? 'ipv6' : 'ipv4'
  if (!(Number(bits) <= (family === 'ipv6' ? 128 : 32))) return false
  const list = new BlockList()
  list.addSubnet(network, Number(bits), family)
  return list.check(address, family)
}
