import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type InitOptions, Repository } from '../../src/repository/index.ts'
import { tree } from './files.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** A fresh repository without fs-verity that goes when the test ends; sha256 unless told otherwise. */
export async function temporaryRepository(options: InitOptions = {}): Promise<Repository> {
  const path = join(temporaryDirectory(), 'repo')
  const repository = await Repository.init(path, { algorithm: 'sha256', insecure: true, ...options })
  onTestFinished(() => repository.close())
  return repository
}

/** Everything that is published: the links below `streams` and `images`, with what they lead to. */
export function published(repository: Repository): Record<string, string> {
  const links = Object.entries(tree(repository.path)).filter(([, value]) => typeof value === 'string')
  return Object.fromEntries(links) as Record<string, string>
}

/** Paths below `objects` that are no objects: what an interrupted writer would leave. */
export function leftovers(repository: Repository): string[] {
  return Object.entries(tree(repository.path))
    .filter(([name, value]) => name.startsWith('objects/') && value !== null)
    .map(([name]) => name)
    .filter((name) => !/^objects\/[0-9a-f]{2}\/(?:[0-9a-f]{62}|[0-9a-f]{126})$/.test(name))
}
