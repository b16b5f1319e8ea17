/**
 * The WWW-Authenticate header (RFC 9110, section 11.6.1).
 *
 * @packageDocumentation
 */

/** One way to log in that a server offers. */
export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  readonly scheme: string
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>
}

const part =
  /\s*,?\s*(?:([\w.!#$%&'*+^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|([\w.!#$%&'*+^`|~-]+)(?=\s|,|$))/gy

/** Reads the challenges of a header, or of several; what is malformed ends the reading of that header. */
export function parseChallenges(header: string | string[] | undefined): Challenge[] {
  const found: { scheme: string; parameters: Map<string, string> }[] = []
  for (const text of [header ?? []].flat()) {
    for (const [, name, quoted, plain, scheme] of text.slice(0, 8192).matchAll(part)) {
      if (scheme !== undefined) found.push({ scheme: scheme.toLowerCase(), parameters: new Map() })
      else found.at(-1)?.parameters.set(name!.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? plain!)
    }
  }
  return found
}
