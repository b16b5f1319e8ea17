/**
 * What the programs of others make of our images.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { imageObjects, readImage, writeImage } from '../../src/erofs/index.ts'
import { readDumpfile } from '../../src/streams/dumpfile-reader.ts'
import { dumpfileText } from '../../src/streams/dumpfile-writer.ts'
import { randomDumpfile } from '../support/random-dumpfile.ts'
import { requireTools } from '../support/tools.ts'

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'composefs-erofs-'))
})
afterAll(() => {
  rmSync(directory, { recursive: true })
})

const count = 60
const trees = () => Array.from({ length: count }, (_, seed) => readDumpfile(randomDumpfile(seed, { rust: true }).text))

/** Standard output of a program that is given an image; it throws where the program fails. */
function run(command: string, args: string[], image: Buffer): string {
  const path = join(directory, 'image')
  writeFileSync(path, image)
  return execFileSync(command, [...args, path], { encoding: 'latin1', stdio: 'pipe', timeout: 30_000 })
}

describe.skipIf(requireTools('fsck.erofs').skip)('fsck.erofs', () => {
  test('finds no fault', () => {
    for (const fileSystem of trees()) {
      for (const version of [0, 1, 2] as const) {
        expect(() => run('fsck.erofs', [], writeImage(fileSystem, { version }))).not.toThrow()
      }
    }
  })

  test('would find one', () => {
    const image = writeImage(trees()[0]!)
    image.fill(0xff, 1152, 1184)
    expect(() => run('fsck.erofs', [], image)).toThrow(/Command failed/)
  })
})

describe.skipIf(requireTools('composefs-info').skip)('composefs-info', () => {
  test('finds the same objects', () => {
    for (const fileSystem of trees()) {
      const image = writeImage(fileSystem)
      const objects = imageObjects(image).map(({ path }) => path)
      // It only knows sha256.
      const known = objects.filter((path) => path.length === 65)
      expect(run('composefs-info', ['objects'], image).split('\n').filter(Boolean)).toEqual(known)
    }
  })
})

test.skipIf(requireTools('mkcomposefs').skip)('mkcomposefs makes the same image of what we read in one', () => {
  for (let seed = 0; seed < count; seed++) {
    const image = writeImage(readDumpfile(randomDumpfile(seed).text))
    const dump = dumpfileText(readImage(image).fileSystem)
    const output = join(directory, 'made')
    const path = join(directory, 'dump')
    writeFileSync(path, dump)
    execFileSync('mkcomposefs', ['--min-version=1', '--from-file', path, output], { timeout: 30_000 })
    expect(readFileSync(output).equals(image), `seed ${seed}`).toBe(true)
  }
})
