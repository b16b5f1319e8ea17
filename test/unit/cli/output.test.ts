import { expect, test } from 'vitest'
import { table } from '../../../src/cli/output.ts'

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
