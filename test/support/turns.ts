import { setImmediate as turn } from 'node:timers/promises'

/** Turns of the event loop: whatever needs no other thread or process has gone on by as many steps. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn()
}

/** Takes turns until something holds. Where it never does, the time of the test runs out. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await turn()
}

/** Takes turns until a number of things has stayed as it is for a while. */
export async function atRest(state: () => string): Promise<void> {
  for (let before = state(), quiet = 0; quiet < 20; ) {
    await turn()
    const now = state()
    quiet = now === before ? quiet + 1 : 0
    before = now
  }
}
