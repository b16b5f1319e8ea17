import type { Random } from './random.ts'

const oddities = [
  ...['', '-', '0', '1', '644', '100644', '40755', '120777', '@', '@100644', '+5', '-5', '0x10', '1.', '.1', '-1.5'],
  ...['4294967296', '18446744073709551615', '99999999999999999999999', '/', '//', '/.', '/..', '/a/', 'a', '=', 'a='],
  ...['\\', '\\x', '\\xg0', '\\x00', '\\x41', '\\n', '=a', '\r', '\t', '\0', ' ', '\n', 'A'.repeat(63), 'A'.repeat(64)],
  ...['a'.repeat(256), 'a'.repeat(4096), 'a'.repeat(5001), `user.a=${'v'.repeat(32740)}`],
]

/** Spoils a dumpfile in one or two places: fields and lines go missing, come twice, change places or become odd. */
export function mutateDumpfile(random: Random, text: Buffer): Buffer {
  const lines = text.toString('latin1').split('\n')
  for (let count = random.between(1, 2); count > 0; count--) {
    const at = random.below(lines.length)
    const line = lines[at]!
    const fields = line.split(' ')
    const field = random.below(fields.length)
    const kind = random.below(8)
    if (kind === 0) fields[field] = random.pick(oddities)
    else if (kind === 1) fields.splice(field, 1)
    else if (kind === 2) fields.splice(field, 0, random.pick(oddities))
    else if (kind === 3) fields.length = field
    if (kind < 4) lines[at] = fields.join(' ')
    else if (kind === 4 && lines.length > 1) lines.splice(at, 1)
    else if (kind === 5) lines.splice(random.below(lines.length), 0, line)
    else if (kind === 6) lines.splice(random.below(lines.length), 0, ...lines.splice(at, 1))
    else {
      const cut = random.below(line.length + 1)
      lines[at] = line.slice(0, cut) + random.pick(oddities) + line.slice(cut + random.below(3))
    }
  }
  return Buffer.from(lines.join('\n'), 'latin1')
}
