import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { TreeSink } from '../../../src/sinks/index.ts'
import {
  DumpfileReader,
  DumpfileWriter,
  type DumpRecord,
  dumpfileText,
  ObjectWriter,
  pipeline,
  type StoredRecord,
  tee,
} from '../../../src/streams/index.ts'
import { LayerMerger } from '../../../src/tree/index.ts'
import { directory, file, hardlink, type Item, lines, paths } from '../../support/layer-entries.ts'
import { MemoryStore } from '../../support/memory-store.ts'
import { entry, run, splitMachine, tar } from '../../support/tar.ts'

const records = (items: readonly Item[]): StoredRecord[] => items.map((item) => ({ kind: 'entry', ...item }))
const layer = records([directory('usr', { mode: 0o700 }), file('usr/a', 'text'), hardlink('usr/b', 'usr/a')])

describe('TreeSink', () => {
  test('makes a tree of the entries of a layer', async () => {
    const fileSystem = await pipeline(layer, new TreeSink())
    expect(lines(fileSystem)).toEqual([
      '/usr 0 40700 2 0 0 0 1.0 - - -',
      '/usr/a 4 100644 2 0 0 0 1.0 - text -',
      '/usr/b 0 @120000 - - - - 0.0 /usr/a - -',
    ])
  })

  test('takes what ObjectWriter gives', async () => {
    const bytes = tar(
      entry({ name: 'usr/', type: '5' }),
      entry({ name: 'usr/large' }, 'x'.repeat(65)),
      entry({ name: 'usr/s' }, 's'),
    )
    const split = Readable.from(run(splitMachine(), [bytes]))
    const fileSystem = await pipeline(split, new ObjectWriter(new MemoryStore()), new TreeSink())
    expect(fileSystem.get('usr/large')).toMatchObject({ content: { type: 'external', size: 65 } })
    expect(fileSystem.get('usr/s')).toMatchObject({ content: { type: 'inline', bytes: Buffer.from('s') } })
  })

  test('makes a tree of the lines of a dumpfile', async () => {
    const text = dumpfileText(await pipeline(layer, new TreeSink({ transform: true })))
    const again = await pipeline([text], new DumpfileReader(), new TreeSink())
    expect(dumpfileText(again)).toEqual(text)
  })

  test('merges onto the layers below, layer by layer', async () => {
    const merger = new LayerMerger()
    await pipeline(layer, new TreeSink({ onto: merger }))
    const upper = records([file('usr/.wh.a'), file('usr/c'), file('usr/.wh.c')])
    const fileSystem = await pipeline(upper, new TreeSink({ onto: merger }))
    expect(fileSystem).toBe(merger.fileSystem)
    expect(paths(fileSystem)).toEqual(['/usr', '/usr/b', '/usr/c'])
  })

  test('transforms where it is told to', async () => {
    const run = records([directory('run'), file('run/a')])
    expect((await pipeline(layer, new TreeSink())).root.stat.mode).toBe(0)
    expect((await pipeline(layer, new TreeSink({ transform: true }))).root.stat.mode).toBe(0o700)
    expect(paths(await pipeline([...layer, ...run], new TreeSink({ transform: {} })))).not.toContain('/run/a')
    const kept = new TreeSink({ transform: { root: 'keep', emptyRun: false } })
    expect(paths(await pipeline([...layer, ...run], kept))).toContain('/run/a')
    const none = pipeline(run, new TreeSink({ transform: true }))
    await expect(none).rejects.toMatchObject({ code: 'ERR_USR_MISSING' })
  })

  test('makes parents where it is told to', async () => {
    const orphan = records([file('a/b/c')])
    await expect(pipeline(orphan, new TreeSink())).rejects.toMatchObject({ code: 'ERR_PARENT_MISSING' })
    expect(paths(await pipeline(orphan, new TreeSink({ implicitParents: true })))).toEqual(['/a', '/a/b', '/a/b/c'])
  })

  test('an empty layer is an empty tree', async () => {
    expect(paths(await pipeline([] as StoredRecord[], new TreeSink()))).toEqual([])
  })

  test.each<[string, (StoredRecord | DumpRecord)[], string]>([
    ['an entry without its parent', records([file('a/b')]), 'ERR_PARENT_MISSING'],
    ['a file without its parent', records([file('a/b')]), 'ERR_PARENT_MISSING'],
    ['an unknown record', [{ kind: 'data' } as never], 'ERR_STREAM_ORDER'],
  ])('%s is refused', async (_, input, code) => {
    const sink = new TreeSink()
    await expect(pipeline(input, sink)).rejects.toMatchObject({ code })
    await expect(sink.result).rejects.toMatchObject({ code })
  })

  test('a dumpfile whose links lead nowhere is refused at its end', async () => {
    const text = Buffer.from('/ 0 40755 2 0 0 0 0.0 - - -\n/a 0 @120000 - - - - 0.0 /b - -\n')
    const reading = pipeline([text], new DumpfileReader(), new TreeSink())
    await expect(reading).rejects.toMatchObject({ code: 'ERR_HARDLINK_TARGET' })
  })

  test('destroyed before the end it has no result', async () => {
    for (const error of [undefined, new Error('enough')]) {
      const sink = new TreeSink()
      sink.on('error', () => {})
      sink.write(layer[0])
      sink.destroy(error)
      await expect(sink.result).rejects.toMatchObject(error ?? { code: 'ERR_STREAM_ORDER', stage: 'TreeSink' })
    }
  })

  test('destroyed after the end it keeps its result', async () => {
    const sink = new TreeSink()
    await pipeline(layer, sink)
    sink.destroy(new Error('too late'))
    sink.on('error', () => {})
    expect(paths(await sink.result)).toHaveLength(3)
  })

  test('one pass makes a tree and a dumpfile of the layer', async () => {
    const writer = new DumpfileWriter()
    const text = writer.toArray()
    const [fileSystem] = await pipeline(layer, tee(new TreeSink(), writer))
    expect(paths(fileSystem)).toHaveLength(3)
    expect(
      Buffer.concat(await text)
        .toString()
        .split('\n'),
    ).toHaveLength(4)
  })
})
