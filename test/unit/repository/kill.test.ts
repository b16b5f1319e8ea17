import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Repository } from '../../../src/repository/index.ts'
import { compileInto } from '../../support/compiled.ts'
import { filesBelow, tree } from '../../support/files.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

/** Stores small and large objects and publishes them, faster than anybody could read along. */
const program = `
import { Repository } from './src/repository/index.js'
const repository = await Repository.open(process.argv[2])
for (let i = 0; ; i++) {
  const small = repository.objects.put(Buffer.alloc(5000 + i, i))
  const sink = repository.objects.create(3_000_000 + i)
  for (let left = 3_000_000 + i; left > 0; left -= 700_000) await sink.write(Buffer.alloc(Math.min(left, 700_000), i))
  const large = await sink.finish()
  await repository.transaction((transaction) => {
    transaction.linkStream('small-' + i, small).linkStream('large', large).linkImage(large)
    transaction.setRef('streams', 'some/small', 'small-' + i).setRef('images', 'latest', large)
  })
  console.log(i)
}
`

let directory: string

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'composefs-test-'))
  compileInto(directory)
  writeFileSync(join(directory, 'program.js'), program)
})

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

/** Waits until the program has gone round a few times, and a little more. */
async function busy(child: ChildProcess, rounds: number, more: number): Promise<void> {
  for await (const line of createInterface({ input: child.stdout! })) if (Number(line) >= rounds) break
  await new Promise((resolve) => setTimeout(resolve, more))
}

describe.each([
  { name: 'with koffi, where it loads', env: {} },
  { name: 'without koffi', env: { COMPOSEFS_NATIVE: '0' } },
])('a process killed in the middle ($name)', ({ env }) => {
  test.each([0, 3, 8])('leaves a sound repository (%i)', async (more) => {
    const path = join(temporaryDirectory(), 'repository')
    await (await Repository.init(path, { algorithm: 'sha256', insecure: true })).close()
    const child = spawn(process.execPath, [join(directory, 'program.js'), path], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await busy(child, 2, more)
    child.kill('SIGKILL')
    expect((await once(child, 'close'))[1]).toBe('SIGKILL')

    const repository = await Repository.open(path)
    const ids = [...repository.objects.ids()]
    expect(ids.length).toBeGreaterThan(4)
    for (const id of ids) repository.objects.verify(id)
    const streams = repository.listStreams()
    expect(streams.length).toBeGreaterThan(3)
    for (const name of [...streams, 'refs/some/small']) expect(ids).toContainEqual(repository.resolveStream(name).id)
    expect(repository.listImages()).toHaveLength(1)
    repository.resolveImage('latest', { verify: true })
    for (const id of repository.listImageIds()) repository.resolveImage(id.hex)

    // What is left lies where every tool passes it over.
    const strays = filesBelow(path).filter((name) => !/^(meta\.json|objects\/[0-9a-f]{2}\/.*)$/.test(name))
    expect(strays.filter((name) => !/^objects\/\.tmp-object-[0-9A-Za-z]{12}$/.test(name))).toEqual([])
    const odd = Object.keys(tree(path)).filter((name) => !/^(meta\.json|(objects|streams|images)\/)/.test(name))
    expect(odd.filter((name) => !/^\.symlink-[0-9A-Za-z]{12}$/.test(name))).toEqual([])
    await repository.close()
  })
})
