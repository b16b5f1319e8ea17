import { spawnSync } from 'node:child_process'
import { closeSync, fstatSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DigestThread } from '../../../src/fsverity/digest-thread.ts'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { compileInto } from '../../support/compiled.ts'

let compiled: string
let Built: typeof DigestThread

beforeAll(async () => {
  compiled = mkdtempSync(join(tmpdir(), 'composefs-test-'))
  compileInto(compiled)
  Built = (await import(join(compiled, 'src/fsverity/digest-thread.js'))).DigestThread
})
afterAll(() => rmSync(compiled, { recursive: true, force: true }))

test.each(['sha256', 'sha512'] as const)('%s: several questions at once, answered in order', async (algorithm) => {
  const thread = Built.start(algorithm)!
  const questions = [[5, 4096, 0, 70_000], [], [1], Array.from({ length: 200 }, (_, i) => i)].map((lengths, i) => {
    const memory = new SharedArrayBuffer(100_000)
    Buffer.from(memory).fill(`body ${i} `)
    return { memory, lengths }
  })
  const answers = await Promise.all(questions.map(({ memory, lengths }) => thread.digest(memory, lengths)))
  questions.forEach(({ memory, lengths }, i) => {
    let at = 0
    const expected = lengths.map((length) => {
      at += length
      return fsverityDigest(algorithm, Buffer.from(memory).subarray(at - length, at)).hex
    })
    expect(answers[i]!.map(({ id }) => id.hex)).toEqual(expected)
    expect(answers[i]!.every(({ draft }) => draft === -1)).toBe(true)
  })
  await thread.close()
})

test('writes the first bodies into files without a name, where it is asked to', async () => {
  const thread = Built.start('sha256')!
  const memory = new SharedArrayBuffer(30_000)
  Buffer.from(memory).fill('body ')
  const bodies = await thread.digest(memory, [100, 20_000, 5], { directory: compiled, mode: 0o600, count: 2 })
  expect(bodies[2]!.draft).toBe(-1)
  let at = 0
  for (const [i, length] of [100, 20_000].entries()) {
    const { draft } = bodies[i]!
    const { mode, nlink } = fstatSync(draft)
    expect({ mode: mode & 0o7777, nlink }).toEqual({ mode: 0o600, nlink: 0 })
    const expected = Buffer.from(memory).subarray(at, at + length)
    expect(readFileSync(`/proc/self/fd/${draft}`).equals(expected)).toBe(true)
    closeSync(draft)
    at += length
  }
  const [body] = await thread.digest(memory, [100], { directory: join(compiled, 'absent'), count: 1 })
  expect(body).toEqual({ id: fsverityDigest('sha256', Buffer.from(memory).subarray(0, 100)), draft: -1 })
  await thread.close()
})

test('answers what it was asked before it ends; others may go on', async () => {
  const [one, other] = [Built.start('sha256')!, Built.start('sha512')!]
  const asked = one.digest(new SharedArrayBuffer(4096), [4096])
  await one.close()
  expect(await asked).toMatchObject([{ id: fsverityDigest('sha256', Buffer.alloc(4096)) }])
  expect(await other.digest(new SharedArrayBuffer(1), [1])).toMatchObject([
    { id: fsverityDigest('sha512', Buffer.alloc(1)) },
  ])
  await other.close()
})

test('keeps a process alive while it owes an answer, and no longer', () => {
  const script = `
    import { DigestThread } from '${join(compiled, 'src/fsverity/digest-thread.js')}'
    const thread = DigestThread.start('sha256')
    const [{ id }] = await thread.digest(new SharedArrayBuffer(1), [1])
    console.log(id.hex)`
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  expect(stdout).toBe(`${fsverityDigest('sha256', Buffer.alloc(1)).hex}\n`)
  expect(status).toBe(0)
})

test('a failure over there is one here, and the next use gets another thread', async () => {
  const thread = Built.start('sha256')!
  await expect(thread.digest(null as unknown as SharedArrayBuffer, [1])).rejects.toThrow()
  await expect(thread.digest(new SharedArrayBuffer(1), [1])).rejects.toThrow()
  await thread.close()
  const next = Built.start('sha256')!
  expect(await next.digest(new SharedArrayBuffer(1), [1])).toHaveLength(1)
  await next.close()
})

test('where the package is not built there is no thread', () => {
  expect(DigestThread.start('sha256')).toBeUndefined()
})
