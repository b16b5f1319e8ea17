import type { Random } from './random.ts'

const lists = {
  classItem: [
    ...[
      'a',
      'b',
      'a-c',
      'A-Z',
      '0-9',
      '/',
      '.',
      '-',
      ']',
      '\\]',
      '\\w',
      '\\d',
      '\\s',
      '\\W',
      '[:alpha:]',
      '[:^digit:]',
    ],
    ...['[:foo:]', '&&', '--', '~~', '[ab]', '[', '^', '$', '\\-', '\\xff', '\\x41', 'é', '\\n', '&', '~', '!-~'],
  ],
  character: [
    ...['a', 'b', '/', 'B', 'é', '_', '1', '-', '{', '}', ']', '~', '&', '!', '\\x61', '\\xe9', '\\x{e9}', '\\u00e9'],
  ],
  escape: [
    ...['\\.', '\\w', '\\W', '\\d', '\\s', '\\S', '\\b', '\\B', '\\<', '\\>', '\\A', '\\z', '\\/', '\\-', '\\n', '\\e'],
    ...['\\v', '\\a', '\\Z', '\\_', '\\{', '\\+', '^', '$', '\\1', '\\h', '\\pL', '\\Q', '\\x', '\\xg', '\\é', '\\0'],
  ],
  open: [
    ...['(', '(', '(', '(?:', '(?:', '(?i)', '(?i:', '(?s:', '(?-s:', '(?P<x>', '(?<n>', '(?=', '(?!', '(?<=', '(?<!'],
    ...['(?>', '(?x:', '(?U)', '(?', '(?m:', '(?u:', '(?-i:', '(?is-U:', '(?#', '(*', '(?|'],
  ],
  repetition: ['*', '+', '?', '*?', '+?', '??', '{2}', '{1,2}', '{0,}', '{2}?'],
  oddRepetition: ['{,2}', '++', '*+', '?+', '{a}', '{2,1}', '{', '**', '{2}{2}', '+*'],
  stem: ['/usr/', '/usr/(a/)?', '/usr/.*', '.*', '/usr/(.*/)?', '/usr/[^/]*/', '/usr/B/', '/(usr|etc)/'],
  type: ['', '', '', '-- ', '-d ', '-l ', '-p ', '-c '],
}

/** Expressions in all syntax that some engine knows, most of them well-formed. */
class RandomExpression {
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  choice(depth: number): string {
    const branches = this.#random.chance(0.2) ? 2 : 1
    return Array.from({ length: branches }, () => this.#sequence(depth)).join('|')
  }

  #sequence(depth: number): string {
    return Array.from({ length: this.#random.below(5) }, () => this.#atom(depth) + this.#repetition()).join('')
  }

  #repetition(): string {
    const { repetition, oddRepetition } = lists
    if (!this.#random.chance(0.4)) return ''
    return this.#random.pick(this.#random.chance(0.95) ? repetition : oddRepetition)
  }

  #atom(depth: number): string {
    const kind = this.#random.below(100)
    if (kind < 50) return this.#random.pick(lists.character)
    if (kind < 65) return '.'
    if (kind < 80) return this.#class()
    if (kind < 87 || depth > 3) return this.#random.pick(lists.escape)
    const close = this.#random.chance(0.98) ? ')' : ''
    return this.#random.pick(lists.open) + this.choice(depth + 1) + close
  }

  #class(): string {
    const items = Array.from({ length: this.#random.between(1, 4) }, () => this.#random.pick(lists.classItem))
    return `[${this.#random.chance(0.3) ? '^' : ''}${items.join('')}]`
  }
}

/** The files of a random policy, by what follows `file_contexts` in their names. */
export function randomRules(random: Random): Record<string, string> {
  const expression = new RandomExpression(random)
  const rules = (name: string, count: number) =>
    Array.from({ length: count }, (_, i) => {
      const context = random.chance(0.1) ? '<<none>>' : `${name}${i}`
      return `${random.pick(lists.stem)}${expression.choice(0)} ${random.pick(lists.type)}${context}\n`
    }).join('')
  const files: Record<string, string> = { '': rules('main', random.between(1, 3)) }
  if (random.chance(0.2)) files['.local'] = rules('local', 1)
  const aliases = ['/usr/a /usr/B\n', '/usr/B /usr\n', '/usr/a/b /usr/aa\n', '/usr /etc\n', '/usr/b /usr/a/\n']
  if (random.chance(0.3)) files['.subs'] = random.pick(aliases) + random.pick(aliases)
  return files
}
