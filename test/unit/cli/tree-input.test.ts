import { closeSync, ftruncateSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readImageInput, readTreeInput } from '../../../src/cli/tree-input.ts'
import { writeImage } from '../../../src/erofs/index.ts'
import { dumpfileText } from '../../../src/streams/dumpfile-writer.ts'
import { defaultDirectoryStat, FileSystem } from '../../../src/tree/index.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const image = writeImage(new FileSystem(defaultDirectoryStat))
const dump = '/ 0 40755 2 0 0 0 0.0 - - -\n'
const refused = (code: string, message = /./) => ({ code, message: expect.stringMatching(message) })

/** A file of any length that begins with some bytes; zeros follow, which take no place. */
function file(bytes: Buffer | string, size = bytes.length): string {
  const path = join(temporaryDirectory(), 'input')
  writeFileSync(path, bytes)
  const fd = openSync(path, 'r+')
  ftruncateSync(fd, size)
  closeSync(fd)
  return path
}

test('the first bytes tell images from dumpfiles', async () => {
  expect(await readTreeInput(file(image))).toEqual({ image })
  expect(await readImageInput(file(image))).toEqual(image)
  const input = await readTreeInput(file(dump))
  expect('fileSystem' in input && dumpfileText(input.fileSystem).toString()).toBe(dump)
})

test('what is neither is refused by its first bytes, however long it is', async () => {
  for (const read of [readTreeInput, readImageInput]) {
    await expect(read('/dev/zero')).rejects.toMatchObject(refused('ERR_IO', /never ends/))
  }
  for (const path of ['/dev/null', file('junk'), file('', 2 ** 40)]) {
    await expect(readTreeInput(path)).rejects.toMatchObject(refused('ERR_ARGUMENT', /neither .* — /))
    await expect(readImageInput(path)).rejects.toMatchObject(refused('ERR_EROFS_INVALID', /no composefs image.* — /))
  }
  await expect(readTreeInput(file(dump, 2 ** 40))).rejects.toMatchObject(refused('ERR_LIMIT', /line 2 is longer/))
})

test('an image is read to the size that it says', async () => {
  await expect(readTreeInput(file(image, 2 ** 40))).rejects.toMatchObject(
    refused('ERR_EROFS_INVALID', /goes on behind the size .*expected 16384, got at least \d+\) — /),
  )
  const large = Buffer.from(image)
  large.writeUInt32LE(0xffffffff, 1024 + 36)
  await expect(readImageInput(file(large, 2 ** 43))).rejects.toMatchObject(
    refused('ERR_LIMIT', /expected at most 1073741824 bytes, got 17592186040320/),
  )
})
