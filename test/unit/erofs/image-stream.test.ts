import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { expect, test } from 'vitest'
import { imageStream, writeImage } from '../../../src/erofs/index.ts'
import { addLeaf, inline, symlink, tree } from './trees.ts'

test('is the image, in pieces', async () => {
  const fileSystem = tree()
  for (let i = 0; i < 200; i++) addLeaf(fileSystem, `file-${i}`, inline(Buffer.alloc(3000, i)))
  for (const version of [1, 2] as const) {
    if (version === 2) for (const name of [...fileSystem.root.entries.keys()]) fileSystem.root.entries.delete(name)
    const sizes: number[] = []
    const stream = imageStream(fileSystem, { version })
    stream.on('data', (chunk: Buffer) => sizes.push(chunk.length))
    expect(await buffer(stream)).toEqual(writeImage(fileSystem, { version }))
    expect(sizes.length).toBe(version === 1 ? 4 : 1)
  }
})

test('fails as writeImage does, through a pipeline', async () => {
  const fileSystem = tree()
  addLeaf(fileSystem, 'l', symlink(''))
  const sink = async (source: AsyncIterable<unknown>) => {
    for await (const _ of source);
  }
  await expect(pipeline(imageStream(fileSystem), sink)).rejects.toMatchObject({ code: 'ERR_SYMLINK_TARGET' })
})
