/** The files the demonstration packs: packages that are installed beside this one. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { type Pack, pack } from 'tar-stream'

/** Where everything comes from. */
const modules = join(dirname(createRequire(import.meta.url).resolve('commander')), '..', '/')

const directory = { type: 'directory', mode: 0o755, mtime: new Date(0) } as const

/** A layer: the tar of some packages, below `/usr/lib/node_modules`. */
export async function layer(packages: readonly string[], extra: (tar: Pack) => void = () => {}): Promise<Buffer> {
  const tar = pack()
  const bytes = buffer(tar)
  for (const name of ['usr', 'usr/lib', 'usr/lib/node_modules']) tar.entry({ name, ...directory })
  for (const name of packages) add(tar, `${modules}${name}`, `usr/lib/node_modules/${name}`)
  extra(tar)
  tar.finalize()
  return bytes
}

function add(tar: Pack, path: string, name: string): void {
  const stat = lstatSync(path)
  const header = { name, mode: stat.mode & 0o777, mtime: stat.mtime }
  if (stat.isSymbolicLink()) tar.entry({ ...header, type: 'symlink', linkname: readlinkSync(path) })
  else if (stat.isFile()) tar.entry(header, readFileSync(path))
  else if (stat.isDirectory()) {
    tar.entry({ ...header, type: 'directory' })
    for (const child of readdirSync(path).sort()) add(tar, `${path}/${child}`, `${name}/${child}`)
  }
}
