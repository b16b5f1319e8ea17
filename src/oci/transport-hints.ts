/**
 * What was meant by a name that is none, or that has the wrong transport.
 *
 * @packageDocumentation
 */
import { type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import { openInputFile } from '../sources/input-file.ts'
import { parseReference } from './registry/reference.ts'

const transports = 'docker://REFERENCE, oci:DIR, oci-archive:FILE, docker-archive:FILE, dir:DIR'

/**
 * Refuses what looks like no name of an image in a registry, and says what was meant.
 *
 * @throws {@link ComposefsError} `ERR_OCI_REFERENCE`
 */
export function checkImageName(name: string): void {
  const hint = meant(name)
  if (hint === undefined) return
  throw new ComposefsError('ERR_OCI_REFERENCE', `not the name of an image: ${shown(name)}`, { hint })
}

function meant(name: string): string | undefined {
  const [, scheme = '', slashes, rest = ''] = /^([a-zA-Z][a-zA-Z+-]*):(\/\/)?(.*)$/s.exec(name) ?? []
  const lower = scheme.toLowerCase()
  if (slashes !== undefined) {
    if (lower === 'http' || lower === 'https') return `for an image in a registry write docker://${ofUrl(rest)}`
    if (lower === 'file') return `write ${ofFile(rest.startsWith('/') ? rest : `/${rest}`)}`
    if (lower === 'docker') return `write docker://${rest}, in lower case`
    return `there is no transport ${scheme}; write it like ${transports}`
  }
  if (lower !== scheme && /^(?:oci|dir|docker-archive|oci-archive)$/.test(lower)) return `write ${lower}:${rest}`
  const isPath = /^\.{0,2}\//.test(name) || (/\.(?:tar|tgz|tar\.\w+|oci)$/.test(name) && exists(name))
  return isPath ? `for a file or directory write ${ofFile(name)}` : undefined
}

/** Web pages of registries have more in their addresses. */
function ofUrl(rest: string): string {
  return rest
    .replace(/^[^/@]*@/, '')
    .replace(/^hub\.docker\.com\/(?:r|_)\//, 'docker.io/')
    .replace(/^(quay\.io)\/repository\//, '$1/')
    .replace(/[?#].*$/s, '')
    .replace(/\/+$/, '')
}

/** A file or directory with the transport that is for it. */
function ofFile(path: string): string {
  if (exists(join(path, 'index.json'))) return `oci:${path}`
  if (exists(join(path, 'manifest.json'))) return `dir:${path}`
  return statOf(path)?.isDirectory() === true ? `oci:${path}` : `docker-archive:${path}`
}

/**
 * Opens an archive, and says what to type where there is something else. Throws as `openInputFile` does.
 *
 * @param command what would fetch an image by its name
 */
export function openArchiveFile(path: string, command = 'composefs oci pull'): Readable {
  try {
    return openInputFile(path)
  } catch (error) {
    if (!(error instanceof ComposefsError)) throw error
    const stats = statOf(path)
    if (stats?.isDirectory() === true) {
      const hint = exists(join(path, 'index.json'))
        ? `an OCI layout is pulled: ${command} oci:${path}`
        : exists(join(path, 'manifest.json'))
          ? `an image in a directory is pulled: ${command} dir:${path}`
          : `an archive is one file; layouts are pulled: ${command} oci:DIRECTORY`
      throw new ComposefsError(error.code, 'this is a directory, not an archive', { path, hint, cause: error })
    }
    if (stats !== undefined || !isImageName(path)) throw error
    const hint = `to fetch an image by its name: ${command} ${path}`
    throw new ComposefsError(error.code, 'there is no such file', { path: shown(path), hint, cause: error })
  }
}

/** What a directory holds instead of what was looked for. */
export function otherLayout(directory: string, wanted: 'oci' | 'dir'): string {
  const stats = statOf(directory)
  if (stats === undefined) return 'there is no such directory'
  if (!stats.isDirectory()) return `this is no directory; for an archive write oci-archive:${directory}`
  const [other, file] = wanted === 'oci' ? (['dir', 'manifest.json'] as const) : (['oci', 'index.json'] as const)
  return exists(join(directory, file)) ? `write ${other}:${directory}` : 'the directory holds no whole image'
}

function isImageName(text: string): boolean {
  if (/^(?:docker:\/\/|oci:|dir:|oci-archive:|docker-archive:|containers-storage:|docker-daemon:)/.test(text))
    return true
  if (!text.includes('/')) return false
  try {
    return parseReference(text).registry.includes('.')
  } catch {
    return false
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

const exists = (path: string): boolean => statOf(path) !== undefined

/** Some put a password in front of the host, as in a URL. */
const shown = (name: string): string => name.replace(/^(\w+:\/\/)[^/]*@/, '$1…@')
