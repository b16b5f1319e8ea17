/**
 * Repositories that are opened, or made, only when there is something to store.
 *
 * @packageDocumentation
 */
import type { Repository } from '../repository/repository.ts'

/** Opens or makes the repository. Called at most once, when there is something to store or to publish. */
export type RepositoryOpener = () => Promise<Repository>

/**
 * The same for a repository and for what opens one: the first call opens it.
 *
 * @throws {@link ComposefsError} `ERR_REPOSITORY_READONLY`, at once for an open repository
 */
export function openedLate(repository: Repository | RepositoryOpener): RepositoryOpener {
  if (typeof repository !== 'function') {
    repository.assertWritable()
    return async () => repository
  }
  let opened: Promise<Repository> | undefined
  const open = async (): Promise<Repository> => {
    const found = await repository()
    found.assertWritable()
    return found
  }
  return () => {
    opened ??= open()
    return opened
  }
}
