import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { type ErofsVersion, readImage, writeImage } from '../../../src/erofs/index.ts'
import { type Algorithm, fsverityDigest } from '../../../src/fsverity/index.ts'
import { readDumpfile } from '../../../src/streams/dumpfile-reader.ts'

const fixture = (name: string): Buffer => readFileSync(new URL(`../../fixtures/dumps/${name}`, import.meta.url))

interface Golden {
  algorithm: Algorithm
  versions: Record<string, string>
}

const images: Record<string, Golden> = JSON.parse(fixture('images.json').toString())

describe.each(Object.entries(images))('%s', (name, { algorithm, versions }) => {
  // cfsctl never raises version 0; the directories hold whiteouts, the random dumps have their C ids.
  const raise = !name.startsWith('directory')

  test.each(Object.entries(versions))('version %s', (version, id) => {
    const image = writeImage(readDumpfile(fixture(`${name}.dump`)), { version: Number(version) as ErofsVersion, raise })
    expect(fsverityDigest(algorithm, image).hex).toBe(id)

    const read = readImage(image, { maxTarget: 4095 })
    expect(writeImage(read.fileSystem, { version: read.version, raise }).equals(image)).toBe(true)
  })
})
