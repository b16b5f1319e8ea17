/**
 * The files in which an SELinux policy says how paths are labelled (spec: oci-image, section 6).
 *
 * @packageDocumentation
 */
import { type ByteString, bytesOf, fromLatin1 } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { Automaton } from './automaton.ts'
import { matchesFromStart } from './backtracker.ts'
import { isRegular } from './pattern.ts'
import { parsePattern } from './pattern-parser.ts'
import { Program } from './program.ts'
import { WorkBudget } from './work.ts'

/** The type of an inode, as rules name it: directory, regular file, symlink, fifo, socket, block or character device. */
export type TypeCode = 'd' | '-' | 'l' | 'p' | 's' | 'b' | 'c'

/** One line of a file of contexts. */
export interface ContextRule {
  /** The regular expression, which must match the whole path. */
  readonly pattern: ByteString
  /** The only type it is for; undefined for all. */
  readonly type: TypeCode | undefined
  /** The label; undefined where the rule says `<<none>>`. */
  readonly context: ByteString | undefined
  /** Where it stands: `file_contexts:12`. */
  readonly origin: string
}

/** What a policy may cost. */
export interface PolicyLimits {
  /** Most bytes of one of its files; default 16 MiB. */
  readonly maxFileSize?: number
  /** Most states that its regular expressions may have together; default 2^20. Those of Debian have 142,000. */
  readonly maxStates?: number
  /**
   * Most steps to match all paths with them. Default 2^22, half a second or so, and 256 more for each path: half a
   * million paths take 2^21 steps with the policy of Debian.
   */
  readonly maxSteps?: number
}

const typeCodes: ReadonlySet<string> = new Set(['d', '-', 'l', 'p', 's', 'b', 'c'])
const defaultMaxStates = 2 ** 20
const defaultMaxSteps = 2 ** 22
const defaultStepsPerPath = 256
const noContext = fromLatin1('<<none>>')
/** Unicode's White_Space, since that is what parts the fields. */
const whiteSpace = '[\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+'
const separators = new RegExp(whiteSpace)
const outerSpace = new RegExp(`^${whiteSpace}|${whiteSpace}$`, 'g')

/** Without white space at both ends. */
export function trimmed(text: string): string {
  return text.replace(outerSpace, '')
}

/**
 * The rules of a file such as `file_contexts`, in their order.
 *
 * @param name for messages
 * @throws {@link ComposefsError} `ERR_SELINUX_POLICY`
 */
export function parseFileContexts(bytes: Buffer, name: string): ContextRule[] {
  return [...fieldsOf(bytes, name)].map(([origin, [pattern, ...rest]]) => {
    const type = rest.length > 0 && rest[0]!.startsWith('-') ? rest.shift()!.slice(1) : undefined
    if (type !== undefined && !typeCodes.has(type)) {
      throw malformed(origin, `there is no type of file -${type}`)
    }
    const [context, ...others] = rest
    if (context === undefined) throw malformed(origin, 'a rule has no context')
    if (others.length > 0) throw malformed(origin, 'a rule has more than an expression, a type and a context')
    return { pattern: pattern!, type: type as TypeCode | undefined, context: noneOr(context), origin }
  })
}

/**
 * The aliases of a file such as `file_contexts.subs`: paths, and what they are labelled as.
 *
 * @param name for messages
 * @throws {@link ComposefsError} `ERR_SELINUX_POLICY`
 */
export function parseAliases(bytes: Buffer, name: string): [alias: ByteString, original: ByteString][] {
  return [...fieldsOf(bytes, name)].map(([origin, [alias, original, ...others]]) => {
    if (original === undefined) throw malformed(origin, 'an alias has no original path')
    if (others.length > 0) throw malformed(origin, 'an alias has more than two paths')
    return [alias!, original]
  })
}

/**
 * Finds the rule of a path. Of several that match, the one that was listed last holds, as for cfsctl. (For libselinux an
 * expression without special characters goes before all others, wherever it is listed.)
 *
 * The time is linear in the length of the path, whatever the expressions: all of them are one automaton. Those that look
 * around are tried one by one, with memory of what was tried.
 *
 * @example
 * ```ts
 * import { FileContexts, parseFileContexts } from 'composefs-streams/selinux'
 * import { bytesOf } from 'composefs-streams/tree'
 *
 * const rules = parseFileContexts(Buffer.from('/usr(/.*)? system_u:object_r:usr_t:s0'), 'file_contexts')
 * new FileContexts(rules).find(bytesOf('/usr/share'), 'd')?.context // 'system_u:object_r:usr_t:s0'
 * ```
 */
export class FileContexts {
  readonly rules: readonly ContextRule[]
  readonly #program: Program
  readonly #automaton: Automaton
  /** The rules that look around, the last listed first. */
  readonly #looking: { rule: number; start: number }[] = []
  readonly #work: WorkBudget

  /** @throws {@link ComposefsError} `ERR_SELINUX_REGEX`, `ERR_LIMIT`, naming the rule */
  constructor(rules: readonly ContextRule[], limits: PolicyLimits = {}) {
    const { maxStates = defaultMaxStates, maxSteps } = limits
    this.rules = rules
    this.#program = new Program(maxStates)
    this.#work =
      maxSteps === undefined ? new WorkBudget(defaultMaxSteps, defaultStepsPerPath) : new WorkBudget(maxSteps, 0)
    const starts: number[] = []
    rules.forEach((rule, number) => {
      const [start, regular] = this.#compile(rule, number)
      if (regular) starts.push(start)
      else this.#looking.unshift({ rule: number, start })
    })
    this.#automaton = new Automaton(this.#program, starts, this.#work)
  }

  /** @throws {@link ComposefsError} `ERR_LIMIT` where the expressions are too expensive */
  find(path: ByteString, type: TypeCode): ContextRule | undefined {
    const text = path + type
    this.#work.begin()
    const found = this.#automaton.match(text)
    for (const { rule, start } of this.#looking) {
      if (rule < found) break
      if (matchesFromStart(this.#program, start, text, this.#work)) return this.rules[rule]
    }
    return this.rules[found]
  }

  #compile({ pattern, type, origin }: ContextRule, number: number): [start: number, regular: boolean] {
    // The type stands behind the path.
    const text = `^(${pattern})${type ?? '.'}$` as ByteString
    try {
      const parsed = parsePattern(text)
      return [this.#program.add(parsed, number), isRegular(parsed)]
    } catch (error) {
      throw error instanceof ComposefsError ? error.within(origin) : error
    }
  }
}

function noneOr(context: ByteString): ByteString | undefined {
  return context === noContext ? undefined : context
}

/** The fields of each line that is not empty or a comment, and where it stands. */
function* fieldsOf(bytes: Buffer, name: string): Generator<[origin: string, fields: ByteString[]], void, undefined> {
  let number = 0
  for (const line of linesOf(bytes, name)) {
    const origin = `${name}:${++number}`
    const fields = trimmed(line).split(separators)
    if (fields[0] === '' || fields[0]!.startsWith('#')) continue
    yield [origin, fields.map(bytesOf)]
  }
}

/**
 * The lines of a text file, which must be UTF-8.
 *
 * @throws {@link ComposefsError} `ERR_SELINUX_POLICY`, at the line that is not
 */
export function* linesOf(bytes: Buffer, name: string): Generator<string, void, undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let number = 0
  for (let start = 0; start < bytes.length; ) {
    number++
    const newline = bytes.indexOf(0x0a, start)
    const end = newline === -1 ? bytes.length : newline
    try {
      yield decoder.decode(bytes.subarray(start, end))
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
      throw malformed(`${name}:${number}`, 'the line is not UTF-8')
    }
    start = end + 1
  }
}

function malformed(origin: string, what: string): ComposefsError {
  return new ComposefsError('ERR_SELINUX_POLICY', `${origin}: ${what}`, {
    hint: 'correct the file, or leave the policy out of the image',
  })
}
