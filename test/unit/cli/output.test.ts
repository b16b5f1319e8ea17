import { expect, test } from 'vitest'
import { json, table } from '../../../src/cli/output.ts'

test('a table of several rows is drawn with closed rules', () => {
  expect(
    table(
      ['A', 'B'],
      [
        ['1', 'two'],
        ['3', '4'],
      ],
    ),
  ).toBe(
    ['┌───┬─────┐', '│ A ┆ B   │', '╞═══╪═════╡', '│ 1 ┆ two │', '├╌╌╌┼╌╌╌╌╌┤', '│ 3 ┆ 4   │', '└───┴─────┘', ''].join(
      '\n',
    ),
  )
})

test('what others wrote cannot control the terminal, in tables and in JSON', () => {
  const name = 'a\x1b[2J\x9b\u202eb\u{e0041}'
  expect(table(['NAME'], [[name]])).toContain('│ a\\x1b[2J\\xc2\\x9b\\xe2\\x80\\xaeb\\xf3\\xa0\\x81\\x81 │')
  expect(json({ name }, 2)).toBe('{\n  "name": "a\\u001b[2J\\u009b\\u202eb\\udb40\\udc41"\n}')
  expect(JSON.parse(json({ name }))).toEqual({ name })
})

test('a table has any number of rows', () => {
  expect(table(['N'], Array(150_000).fill(['x'])).length).toBeGreaterThan(150_000)
})
