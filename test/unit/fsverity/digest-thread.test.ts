import { mkdtempSync, rmSync } from 'node:fs'
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
    expect(answers[i]!.map(({ hex }) => hex)).toEqual(expected)
  })
  await thread.close()
})

test('what is still owed when it ends is rejected, and so is what comes after', async () => {
  const thread = Built.start('sha256')!
  const asked = expect(thread.digest(new SharedArrayBuffer(4096), [4096])).rejects.toThrow('has ended')
  await thread.close()
  await asked
  await expect(thread.digest(new SharedArrayBuffer(1), [1])).rejects.toThrow('has ended')
})

test('a failure over there is one here', async () => {
  const thread = Built.start('sha256')!
  await expect(thread.digest(null as unknown as SharedArrayBuffer, [1])).rejects.toThrow()
  await thread.close()
})

test('where the package is not built there is no thread', () => {
  expect(DigestThread.start('sha256')).toBeUndefined()
})
