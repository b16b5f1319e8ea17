import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { type LockEvent, lockDirectory, Repository } from '../../src/repository/index.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** Whether another program gets the lock, by flock(1). */
export function othersGet(path: string, mode: 'shared' | 'exclusive'): boolean {
  return spawnSync('flock', [mode === 'shared' ? '-s' : '-x', '-n', path, 'true']).status === 0
}

/** Holds the exclusive lock in another process until `release`. */
export async function lockedByAnother(path: string): Promise<{ release(): Promise<void> }> {
  // It tells when it has the lock, and keeps that until its input ends.
  const holder = spawn('flock', ['-x', path, 'sh', '-c', 'echo held; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await once(holder.stdout, 'data')
  return {
    async release() {
      const ended = once(holder, 'close')
      holder.stdin.end()
      await ended
    },
  }
}

/** The lock, whatever takes it: koffi or flock(1). */
export function describeLock(): void {
  test('keeps other programs from collecting as long as the repository is open', async () => {
    const path = `${temporaryDirectory()}/repository`
    const first = await Repository.init(path, { insecure: true })
    const second = await Repository.open(path)
    expect([first.locked, second.locked]).toEqual([true, true])
    expect([othersGet(path, 'shared'), othersGet(path, 'exclusive')]).toEqual([true, false])
    await first.close()
    await first.close()
    expect(othersGet(path, 'exclusive')).toBe(false)
    await second[Symbol.asyncDispose]()
    expect(othersGet(path, 'exclusive')).toBe(true)
  })

  test('an exclusive one waits for all who have it open', async () => {
    const path = `${temporaryDirectory()}/repository`
    const repository = await Repository.init(path, { insecure: true })
    const fd = openSync(path, 'r')
    let closed = false
    const collector = lockDirectory(fd, path, 'exclusive').then((locked) => [locked, closed])
    await repository.close().then(() => {
      closed = true
    })
    expect(await collector).toEqual([true, true])
    expect(othersGet(path, 'shared')).toBe(false)
    closeSync(fd)
    expect(othersGet(path, 'shared')).toBe(true)
  })

  test('opening waits for a garbage collection, tells so after a second and only once, until it is over', async () => {
    const path = `${temporaryDirectory()}/repository`
    await (await Repository.init(path, { insecure: true })).close()
    const other = await lockedByAnother(path)
    // A clock on which the first looks are too early.
    let now = 0
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => (now += 300))
    const events: LockEvent[] = []
    let looks = 0
    let released: Promise<void> | undefined
    const repository = await Repository.open(path, {
      onLock(event) {
        events.push(event)
        looks = now / 300
        released = other.release()
      },
    })
    clock.mockRestore()
    expect(repository.locked).toBe(true)
    expect(events).toEqual([{ type: 'lock-wait', path, mode: 'shared' }])
    expect(looks).toBeGreaterThan(3)
    await released
    await repository.close()
  })

  test('the wait ends with the reason of the signal', async () => {
    const path = `${temporaryDirectory()}/repository`
    await (await Repository.init(path, { insecure: true })).close()
    const other = await lockedByAnother(path)
    const controller = new AbortController()
    const enough = new Error('enough')
    const opening = Repository.open(path, { signal: controller.signal })
    controller.abort(enough)
    await expect(opening).rejects.toBe(enough)
    await expect(Repository.open(path, { signal: controller.signal })).rejects.toBe(enough)
    await other.release()
  })

  test('is changed in place: exclusive only once the others are gone, and back', async () => {
    const path = temporaryDirectory()
    const [a, b] = [openSync(path, 'r'), openSync(path, 'r')]
    await lockDirectory(a, path, 'shared')
    await lockDirectory(b, path, 'shared')
    const exclusive = lockDirectory(a, path, 'exclusive')
    closeSync(b)
    expect(await exclusive).toBe(true)
    expect(othersGet(path, 'shared')).toBe(false)
    expect(await lockDirectory(a, path, 'shared')).toBe(true)
    expect(othersGet(path, 'shared')).toBe(true)
    closeSync(a)
  })
}
