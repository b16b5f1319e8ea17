/** What changes on a terminal: every line that is drawn anew must fit into one, or the next drawing removes too little. */
import { afterEach, expect, test, vi } from 'vitest'
import { LayerBoard } from '../../../src/cli/layer-board.ts'
import { fitting } from '../../../src/cli/output.ts'
import { ImportReport } from '../../../src/cli/report.ts'

afterEach(() => void vi.restoreAllMocks())

function drawn(columns: number | undefined): string[] {
  let now = 0
  vi.spyOn(performance, 'now').mockImplementation(() => (now += 1000))
  let text = ''
  const out = { columns, write: (chunk: string) => (text += chunk) } as unknown as NodeJS.WriteStream
  const board = new LayerBoard(out)
  const digest = `sha256:${'5f70'.repeat(16)}`
  const descriptor = { digest, size: 123_456_789, mediaType: 'x', platform: undefined, annotations: {} }
  board.event({ type: 'manifest', digest, layers: [descriptor] } as never)
  board.event({ type: 'layer-start', number: 1, count: 1, digest, size: 123_456_789 } as never)
  board.event({ type: 'layer-progress', number: 1, bytes: 61_728_395, size: 123_456_789 })
  return text.split('\n').map((line) => line.replaceAll(/\r|\x1b\[\d*[AJK]/g, ''))
}

test.each([1, 5, 10, 20, 30, 40, 49, 50, 60, 80, 200])('a board of %i columns', (columns) => {
  for (const line of drawn(columns)) expect(line.length, line).toBeLessThanOrEqual(Math.max(1, columns - 1))
})

test('says how far it is wherever there is room for it', () => {
  const last = (columns: number | undefined) => drawn(columns).findLast((line) => line.startsWith('layer'))
  expect(last(80)).toBe('layer 1: sha256:5f705f705f70 [============            ] 58.87 MiB of 117.74 MiB')
  expect(last(50)).toBe('layer 1: [=======       ] 58.87 MiB of 117.74 MiB')
  expect(last(40)).toBe('layer 1: 58.87 MiB of 117.74 MiB')
  expect(last(20)).toBe('layer 1: 50%')
  for (const unknown of [0, undefined]) expect(last(unknown)).toBe(last(80))
})

test('the line of an import fits too', () => {
  const { columns, isTTY } = process.stderr
  const lines: string[] = []
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => lines.push(String(text)) > 0)
  try {
    Object.assign(process.stderr, { columns: 20, isTTY: true })
    const report = new ImportReport(false)
    report.event({ type: 'layer-start', name: 'layer.tar' } as never)
    report.event({ type: 'progress', bytes: 123_456_789 } as never)
  } finally {
    Object.assign(process.stderr, { columns, isTTY })
  }
  expect(lines).toEqual(['\r\x1b[K117.74 MiB  layer 1'])
})

test('a board is removed from the beginning of its line, wherever ^C has moved the cursor', () => {
  let text = ''
  const board = new LayerBoard({
    columns: 80,
    write: (chunk: string) => (text += chunk),
  } as unknown as NodeJS.WriteStream)
  vi.spyOn(performance, 'now').mockReturnValue(1e6)
  board.event({ type: 'layer-start', number: 1, digest: `sha256:${'0'.repeat(64)}`, size: 1 })
  const before = text.length
  board.end()
  expect(text.slice(before)).toBe('\r\x1b[2A\x1b[J')
})

test('fitting', () => {
  expect(fitting(10, '1234567890', '123456789', '1')).toBe('123456789')
  expect(fitting(4, '12345', '54321')).toBe('543')
})
