/** Bodies that another thread writes ahead, where few files may be open. */
import { expect, test, vi } from 'vitest'
import type { DigestThread, WantedDrafts } from '../../../src/fsverity/digest-thread.ts'
import { fsverityDigest } from '../../../src/fsverity/merkle.ts'
import { DigestBatches } from '../../../src/streams/digest-batches.ts'
import type { ObjectStore } from '../../../src/streams/records.ts'

const allowed = 5
vi.mock('../../../src/native/descriptors.ts', () => ({ descriptorsFor: (wish: number) => Math.min(wish, allowed) }))

test('no more are open than the limit leaves room for, however many batches there are', async () => {
  let open = 0
  let most = 0
  const id = fsverityDigest('sha256', Buffer.alloc(1))
  const thread = {
    async digest(_memory: SharedArrayBuffer, lengths: readonly number[], drafts?: WantedDrafts) {
      open += drafts?.count ?? 0
      most = Math.max(most, open)
      // The numbers are not those of open files.
      return lengths.map((_, i) => ({ id, draft: i < (drafts?.count ?? 0) ? 2 ** 30 + i : -1 }))
    },
  } as unknown as DigestThread
  let drafts = 0
  const store = {
    algorithm: 'sha256',
    takesIds: true,
    drafts: { directory: '/' },
    put: () => id,
    putDraft() {
      open--
      drafts++
      return id
    },
  } as unknown as ObjectStore
  const make = () =>
    new DigestBatches<number>(
      () => thread,
      store,
      () => {},
    )
  const all = [make(), make()]
  for (let round = 0; round < 6; round++) {
    for (const batches of all) {
      for (let i = 0; i < 8; i++) batches.push(batches.addReserved(1))
      await batches.next()
    }
  }
  for (const batches of all) await batches.finish()
  expect(most).toBe(allowed)
  expect(drafts).toBeGreaterThan(allowed)
  expect(open).toBe(0)
})
