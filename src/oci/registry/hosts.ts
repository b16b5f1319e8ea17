/**
 * What the name of a host tells.
 *
 * @packageDocumentation
 */

/** Whether a host, with or without a port, is this machine: nobody listens on the way. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:[0-9]+$/, '').toLowerCase()
  return (
    name === 'localhost' || name.endsWith('.localhost') || name === '[::1]' || /^127(?:\.[0-9]{1,3}){3}$/.test(name)
  )
}

/**
 * Whether two hosts belong to one operator, as far as names can tell: equal, one below the other, or side by side below
 * a domain that somebody owns (`registry-1.docker.io` and `auth.docker.io`). Ports do not matter.
 */
export function isSameSite(a: string, b: string): boolean {
  const [x, y] = [a, b].map((host) => host.replace(/:[0-9]+$/, '').toLowerCase()) as [string, string]
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
