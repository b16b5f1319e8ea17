import type { Entry } from '../../src/streams/records.ts'

/** One line of a dumpfile, as text fields with escapes resolved; what a hardlink's line leaves out is empty. */
export interface DumpLine {
  path: string
  size: string
  mode: string
  owner: string
  rdev: string
  mtime: string
  payload: string
  content: string
  digest: string
  xattrs: string[]
}

/** Takes a line apart, but for the link count. Not the code under test: only what golden files need. */
export function parseDumpLine(line: string): DumpLine {
  const [path, size, mode, , uid, gid, rdev, mtime, payload, content, digest, ...xattrs] = line.split(' ')
  const field = (value = '-') => (value === '-' ? '' : resolve(value))
  return {
    path: field(path),
    size: size!,
    mode: mode!,
    owner: mode!.startsWith('@') ? '' : `${uid}:${gid}`,
    rdev: field(rdev),
    mtime: mtime!,
    payload: field(payload),
    content: field(content),
    digest: field(digest),
    xattrs: xattrs.map(resolve),
  }
}

/** The line that the reference prints for an entry of a layer, its contents given. */
export function dumpLineOf(entry: Entry, content: { bytes: Buffer } | { id: string }): DumpLine {
  const line: DumpLine = {
    path: absolute(entry.path),
    size: '0',
    mode: (typeBits[entry.type] | entry.mode).toString(8),
    owner: `${entry.uid}:${entry.gid}`,
    rdev: String(entry.rdev),
    mtime: `${entry.mtime}.${entry.mtimeNsec}`,
    payload: '',
    content: '',
    digest: '',
    xattrs: [...entry.xattrs].map(([name, value]) => `${name}=${value.toString('latin1')}`),
  }
  if (entry.type === 'hardlink') {
    const payload = absolute(entry.linkTarget)
    return { ...line, mode: '@120000', owner: '', rdev: '', mtime: '0.0', payload, xattrs: [] }
  }
  if (entry.type === 'symlink') return { ...line, size: String(entry.linkTarget.length), payload: entry.linkTarget }
  if (entry.type !== 'file') return line
  const size = String(entry.size)
  if ('bytes' in content) return { ...line, size, content: content.bytes.toString('latin1') }
  return { ...line, size, payload: `${content.id.slice(0, 2)}/${content.id.slice(2)}`, digest: content.id }
}

const typeBits = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  'character-device': 0o020000,
  'block-device': 0o060000,
  fifo: 0o010000,
  socket: 0o140000,
  hardlink: 0,
  unsupported: 0,
}

function absolute(path: string): string {
  return `/${path.replace(/^\//, '')}`.replace(/\/+$/, '')
}

function resolve(text: string): string {
  const plain: { [key: string]: string } = { '\\\\': '\\', '\\n': '\n', '\\r': '\r', '\\t': '\t' }
  return text.replace(/\\x([0-9a-f]{2})|\\./g, (all, hex?: string) =>
    hex === undefined ? plain[all]! : String.fromCharCode(Number.parseInt(hex, 16)),
  )
}
