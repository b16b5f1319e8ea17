/**
 * Command lines as getopt_long(3) of the GNU C library reads them, for programs that stand in for others.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'

/** A command line, read. */
export interface ParsedArguments<Name extends string> {
  /** In their order; the value is undefined where the option takes none. */
  readonly options: readonly { readonly name: Name; readonly value: string | undefined }[]
  readonly operands: readonly string[]
}

/**
 * Reads options and operands in any order. Options may be abbreviated as long as they are unmistakable, values follow
 * `=` or come as the next argument, `--` ends the options, and so does the first operand where POSIXLY_CORRECT is set.
 * There are no short options.
 *
 * @param takesValue the names of all options, without `--`, and whether each needs a value
 * @throws {@link ComposefsError} `ERR_ARGUMENT`
 */
export function getoptLong<Name extends string>(
  args: readonly string[],
  takesValue: Readonly<Record<Name, boolean>>,
): ParsedArguments<Name> {
  const options: { name: Name; value: string | undefined }[] = []
  const operands: string[] = []
  const posix = process.env['POSIXLY_CORRECT'] !== undefined
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!
    if (arg === '--' || (posix && !isOption(arg))) {
      operands.push(...args.slice(arg === '--' ? i + 1 : i))
      break
    }
    if (!isOption(arg)) {
      operands.push(arg)
      continue
    }
    const equals = arg.indexOf('=')
    const name = optionName(equals === -1 ? arg : arg.slice(0, equals), Object.keys(takesValue) as Name[])
    if (!takesValue[name]) {
      if (equals !== -1) throw new ComposefsError('ERR_ARGUMENT', `the option --${name} takes no value`)
      options.push({ name, value: undefined })
      continue
    }
    const value = equals === -1 ? args[++i] : arg.slice(equals + 1)
    if (value === undefined) throw new ComposefsError('ERR_ARGUMENT', `the option --${name} needs a value`)
    options.push({ name, value })
  }
  return { options, operands }
}

/** A lone dash is an operand. */
const isOption = (arg: string): boolean => arg.length > 1 && arg.startsWith('-')

function optionName<Name extends string>(given: string, names: readonly Name[]): Name {
  const prefix = given.slice(2)
  const matches = given.startsWith('--') ? names.filter((name) => name.startsWith(prefix)) : []
  const match = matches.find((name) => name === prefix) ?? matches[0]
  if (match === undefined) throw new ComposefsError('ERR_ARGUMENT', `there is no option ${given}`)
  if (match === prefix || matches.length === 1) return match
  const hint = `it may be ${matches.map((name) => `--${name}`).join(' or ')}`
  throw new ComposefsError('ERR_ARGUMENT', `the option ${given} is ambiguous`, { hint })
}
