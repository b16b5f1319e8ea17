/**
 * Why two trees differ, where the reason is one of those that everybody meets.
 *
 * @packageDocumentation
 */
import { CauseContext, opposite, type Side } from './diff-context.ts'
import type { Cause, CauseName, DiffFacts } from './diff-facts.ts'
import type { Change, Difference } from './difference.ts'

/** Finds causes while differences go by, and keeps nothing of those. */
export class CauseFinder {
  readonly #facts: DiffFacts
  readonly #context: CauseContext
  /** By cause and by the side that shows it. */
  readonly #claims = new Map<CauseName, { a: number; b: number }>()
  #foreignXattrs = false
  #labels = { a: 0, b: 0 }
  #wholeSeconds = { a: true, b: true }
  #hashes: (Change & { readonly what: 'hash' }) | undefined

  constructor(facts: DiffFacts = {}) {
    this.#facts = facts
    this.#context = new CauseContext(facts)
  }

  add(difference: Difference): void {
    const { path, a, b, changes } = difference
    if (a === undefined || b === undefined) {
      const emptied = this.#context.emptied(path, a === undefined ? 'a' : 'b')
      if (emptied !== undefined) this.#claim(emptied, a === undefined ? 'a' : 'b')
      return
    }
    const implicit = this.#context.implicitParent(difference)
    for (const change of changes) {
      if (implicit !== undefined) this.#claim('implicit-parents', implicit)
      else this.#change(difference, change)
    }
  }

  /** The one that explains most first. */
  causes(): Cause[] {
    const causes: Cause[] = []
    for (const [cause, { a, b }] of this.#claims) {
      const text = this.#text(cause, a >= b ? 'a' : 'b', a > 0 && b > 0)
      if (text !== undefined) causes.push({ cause, text, count: a + b })
    }
    causes.sort((x, y) => y.count - x.count || (x.cause < y.cause ? -1 : 1))
    return [...causes, ...this.#imageCauses(causes)]
  }

  #change(difference: Difference, change: Change): void {
    const { path } = difference
    const root = path === '/' ? this.#context.rootRule() : undefined
    switch (change.what) {
      case 'mtime': {
        const epoch = this.#context.epoch()
        const emptied = this.#context.timeOfUsr(path)
        if (epoch !== undefined) this.#claim('epoch', epoch)
        else if (change.a.mtime === change.b.mtime) this.#nanoseconds(change)
        else if (root !== undefined) this.#claim('root-metadata', root)
        else if (emptied !== undefined) this.#claim(...emptied)
        return
      }
      case 'xattr':
        if (root !== undefined) this.#claim('root-metadata', root)
        else this.#xattr(change)
        return
      case 'mode':
      case 'uid':
      case 'gid':
        if (root !== undefined) this.#claim('root-metadata', root)
        return
      case 'links': {
        const split = this.#context.split()
        if (split !== undefined) this.#claim('hardlinks', split)
        return
      }
      case 'hash':
        this.#hashes = change
        this.#claim('hash', 'a')
        return
      case 'home':
        this.#claim('home', 'a')
    }
  }

  #nanoseconds({ a, b }: Change & { readonly what: 'mtime' }): void {
    if (a.mtimeNsec !== 0) this.#wholeSeconds.a = false
    if (b.mtimeNsec !== 0) this.#wholeSeconds.b = false
    this.#claim('nanoseconds', a.mtimeNsec === 0 ? 'a' : 'b')
  }

  #xattr({ name, a, b }: Change & { readonly what: 'xattr' }): void {
    const missing = a === undefined ? 'a' : b === undefined ? 'b' : undefined
    if (name === 'security.selinux') {
      this.#claim('label', missing ?? 'a')
      if (missing !== undefined) this.#labels[missing]++
      return
    }
    // No filter removes capabilities, and none changes a value.
    if (missing === undefined || name === 'security.capability') return
    if (!name.startsWith('user.')) this.#foreignXattrs = true
    this.#claim('xattr-filter', missing)
  }

  #claim(cause: CauseName, side: Side): void {
    const counts = this.#claims.get(cause) ?? { a: 0, b: 0 }
    counts[side]++
    this.#claims.set(cause, counts)
  }

  /** Undefined where what was seen does not fit the cause after all. */
  #text(cause: CauseName, side: Side, both: boolean): string | undefined {
    const own = side.toUpperCase()
    const other = opposite(side).toUpperCase()
    switch (cause) {
      case 'implicit-parents':
        return `implicit parents: directories without an entry of their own became 0755 root:root with time 0 in ${own}`
      case 'nanoseconds': {
        const { a, b } = this.#wholeSeconds
        if (!a && !b) return undefined
        const cut = a ? 'a' : 'b'
        const version2 = this.#facts[cut]?.version === 2
        const why = version2 ? 'it is an image of version 2' : 'a tar without PAX times, version 2, or a tool that cuts'
        return `times below a second: ${cut.toUpperCase()} has whole seconds (${why})`
      }
      case 'epoch':
        return `times: all are 0 in ${own} (mkcomposefs --use-epoch)`
      case 'xattr-filter': {
        if (both) return undefined
        const which = this.#foreignXattrs ? 'other attributes than security.capability' : 'user.* attributes'
        return `the xattr filter: ${which} are missing in ${own} (--xattrs)`
      }
      case 'label': {
        const { a, b } = this.#labels
        const claims = this.#claims.get('label')!
        const none = a === claims.a + claims.b ? 'A' : b === claims.a + claims.b ? 'B' : undefined
        const how = none === undefined ? 'A and B are labelled by different policies' : `${none} has none`
        return `SELinux labels: ${how}`
      }
      case 'root-metadata':
        return `the root directory: ${this.#context.rootText(side)} (--root-metadata)`
      case 'run-emptied':
        return `/run: it was emptied in ${own}, as for a container image`
      case 'boot-emptied':
        return `/boot and /sysroot: they were emptied in ${own} (--bootable)`
      case 'hardlinks':
        return `hardlinks: every name is a file of its own in ${own} and not in ${other} (mkcomposefs without --hardlinks)`
      case 'home':
        return 'hardlinks: another name is the own one of an inode, which images of versions 0 and 1 keep'
      case 'hash':
        return `the hash: objects are named by ${this.#hashes?.a} in A and by ${this.#hashes?.b} in B, whatever they contain`
      case 'erofs-version':
        return undefined
    }
  }

  /** What keeps the ids of two images apart, even of the same tree. */
  #imageCauses(found: readonly Cause[]): Cause[] {
    const { a, b } = this.#facts
    const causes: Cause[] = []
    const add = (cause: CauseName, text: string): void => {
      causes.push({ cause, text, count: 0 })
    }
    if (a?.version !== undefined && b?.version !== undefined && a.version !== b.version) {
      const versions = `A is of version ${a.version} and B of version ${b.version}`
      add('erofs-version', `the EROFS version: ${versions}, so their ids differ whatever is in them`)
    }
    const hashesKnown = a?.algorithm !== undefined && b?.algorithm !== undefined && a.algorithm !== b.algorithm
    if (hashesKnown && !found.some(({ cause }) => cause === 'hash')) {
      add('hash', `the hash: ${a.algorithm} in A and ${b.algorithm} in B, so their ids differ whatever is in them`)
    }
    return causes
  }
}

/**
 * The likely causes of differences, the one that explains most first; none where none of these fits:
 *
 * - `implicit-parents`: directories are 0755, root:root and of time 0 on one side, as `--implicit-parents` makes those
 *   that a layer names only in paths.
 * - `nanoseconds`: times agree but for the part below a second, which version 2 and many tools drop.
 * - `epoch`: all times are 0 on one side (`mkcomposefs --use-epoch`).
 * - `xattr-filter`: attributes that a filter removes are missing on one side.
 * - `label`: `security.selinux` is missing or another.
 * - `root-metadata`: the root of one side alone is a copy of `/usr`, or 0555 root:root (`--root-metadata`).
 * - `run-emptied`, `boot-emptied`: `/run`, or `/boot` and `/sysroot`, are empty on one side.
 * - `hardlinks`: one side has none (`mkcomposefs DIR` makes every path an inode of its own).
 * - `home`: the names of an inode are the same, and its own one is another.
 * - `hash`: objects are named by sha256 on one side and by sha512 on the other.
 * - `erofs-version`: images of different versions have different ids, even of the same tree.
 *
 * @example
 * ```ts
 * import { diffTrees, explain, type FileSystem } from 'composefs-streams/tree'
 *
 * const why = (a: FileSystem, b: FileSystem) =>
 *   explain(diffTrees(a, b), { a: { tree: a }, b: { tree: b } }).map(({ text }) => text)
 * ```
 */
export function explain(differences: Iterable<Difference>, facts: DiffFacts = {}): Cause[] {
  const finder = new CauseFinder(facts)
  for (const difference of differences) finder.add(difference)
  return finder.causes()
}
