/** Long work is done in steps, between which signals have their turn. */
import { expect, test } from 'vitest'
import { imageObjects, readImage, writeImage } from '../../src/erofs/index.ts'
import { imageObjectsSteps } from '../../src/erofs/objects.ts'
import { readImageSteps } from '../../src/erofs/reader.ts'
import { readDumpfile } from '../../src/streams/index.ts'
import { diffSteps, diffTrees } from '../../src/tree/diff.ts'
import { inTurns, type Steps } from '../../src/turns.ts'

const lines = Array.from({ length: 3000 }, (_, i) => {
  const digest = `${i}`.padStart(64, '0')
  return `/file${i} 1000 100644 1 0 0 0 ${i}.0 ${digest.slice(0, 2)}/${digest.slice(2)} - ${digest}\n`
})
const fileSystem = readDumpfile(Buffer.from(`/ 0 40755 2 0 0 0 0.0 - - -\n${lines.join('')}`))
const image = writeImage(fileSystem)

/** How often others have their turn, and what comes of the work. */
function counted<T>(steps: Steps<T>): [count: number, result: T] {
  for (let count = 0; ; count++) {
    const step = steps.next()
    if (step.done === true) return [count, step.value]
  }
}

test('reading an image', async () => {
  const [count, read] = counted(readImageSteps(image))
  expect(count).toBeGreaterThan(4)
  expect(writeImage(read.fileSystem)).toEqual(writeImage(readImage(image).fileSystem))
  const enough = new Error('enough')
  await expect(inTurns(readImageSteps(image), AbortSignal.abort(enough))).rejects.toBe(enough)
})

test('listing the objects of an image', () => {
  const [count, ids] = counted(imageObjectsSteps(image))
  expect(count).toBeGreaterThan(4)
  expect(ids).toEqual(imageObjects(image))
  expect(ids).toHaveLength(lines.length)
})

test('comparing trees, also where nothing differs', () => {
  const { fileSystem: other } = readImage(image)
  const steps = [...diffSteps(fileSystem, other)]
  expect(steps.length).toBeGreaterThan(10)
  expect(steps.every((step) => step === undefined)).toBe(true)
  expect([...diffTrees(fileSystem, other)]).toEqual([])
})
