/**
 * Debian's own SELinux policy: the labels that libselinux and cfsctl give to every path of a real root.
 */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromLatin1 } from '../../../src/bytes.ts'
import { writeImage } from '../../../src/erofs/index.ts'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { type Policy, readPolicyOfDirectory, relabel, transformForBoot } from '../../../src/selinux/index.ts'
import { dumpfileText, readDumpfile } from '../../../src/streams/index.ts'
import { Directory, defaultDirectoryStat, FileSystem, Leaf, type LeafContent } from '../../../src/tree/index.ts'
import { quietRust, run } from '../../support/cfsctl.ts'
import { debianRoot, skipDebianRoot } from '../../support/debian-root.ts'
import { makeMemoryDirectory } from '../../support/memory-directory.ts'
import { labels } from '../../support/selinux.ts'
import { requireTools } from '../../support/tools.ts'

const skip = skipDebianRoot()

/** By the letter of find: what matchpathcon calls the type, and a leaf of it. */
const kinds: Record<string, [type: string, content?: LeafContent]> = {
  d: ['dir'],
  f: ['file', { type: 'inline', bytes: Buffer.alloc(0) }],
  l: ['lnk_file', { type: 'symlink', target: fromLatin1('x') }],
  p: ['pipe', { type: 'fifo' }],
  s: ['sock_file', { type: 'socket' }],
  b: ['blk_file', { type: 'block-device', rdev: 1 }],
  c: ['chr_file', { type: 'character-device', rdev: 1 }],
}

type Paths = readonly (readonly [kind: string, path: string])[]

/** All paths that find lists as their type and themselves; names with a newline part lines of matchpathcon. */
function listed(args: string[]): Paths {
  const output = execFileSync('find', args, { encoding: 'latin1', maxBuffer: 2 ** 30 })
  const items = output.split('\0').slice(0, -1)
  return items.map((item) => [item.charAt(0), item.slice(1)] as const).filter(([, path]) => !path.includes('\n'))
}

/** A tree of these paths, each an inode of its own. */
function treeOf(paths: Paths): FileSystem {
  const fileSystem = new FileSystem(defaultDirectoryStat)
  for (const [kind, path] of paths) {
    let parent = fileSystem.root
    const names = path.split('/').filter((name) => name !== '')
    for (const [i, name] of names.map(fromLatin1).entries()) {
      const content = i === names.length - 1 ? kinds[kind]![1] : undefined
      if (content !== undefined) parent.entries.set(name, new Leaf(defaultDirectoryStat, content))
      else {
        const known = parent.entries.get(name)
        const directory = known instanceof Directory ? known : new Directory(defaultDirectoryStat)
        parent.entries.set(name, directory)
        parent = directory
      }
    }
  }
  return fileSystem
}

/** What libselinux says, by path; `-` for no label. */
async function theirLabels(fileContexts: string, paths: Paths): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const [kind, [type]] of Object.entries(kinds)) {
    const some = paths.filter(([k]) => k === kind).map(([, path]) => path)
    for (let i = 0; i < some.length; i += 2000) {
      const batch = some.slice(i, i + 2000)
      const script = 'xargs -0 -n 100000 -s 1000000 matchpathcon -N -n -f "$1" -m "$2"'
      const output = execFileSync('sh', ['-c', script, 'sh', fileContexts, type], {
        input: Buffer.from(batch.map((path) => `${path}\0`).join(''), 'latin1'),
        encoding: 'latin1',
        maxBuffer: 2 ** 30,
        // It says that it does not read the compiled files of another version.
        stdio: ['pipe', 'pipe', 'ignore'],
      })
      const answers = output.split('\n').slice(0, -1)
      expect(answers).toHaveLength(batch.length)
      batch.forEach((path, i) => {
        found[path] = answers[i] === '<<none>>' ? '-' : answers[i]!
      })
    }
  }
  return found
}

function differences(ours: Record<string, string>, theirs: Record<string, string>): string[] {
  const different = Object.keys(theirs).filter((path) => ours[path] !== theirs[path])
  return different.map((path) => `${path}: ours ${ours[path]}, theirs ${theirs[path]}`)
}

let root = ''
let policy: Policy
const fileContexts = () => join(root, 'etc/selinux/default/contexts/files/file_contexts')

beforeAll(async () => {
  if (skip) return
  root = await debianRoot()
  policy = readPolicyOfDirectory(root)!
})

describe.skipIf(skip || requireTools('matchpathcon').skip)('matchpathcon', () => {
  test.each([
    ['a root with that policy', () => [root, '-xdev', '-printf', '%y/%P\\0']],
    ['this machine', () => ['/usr', '/etc', '/var', '-xdev', '-printf', '%y%p\\0']],
  ])('labels every path of %s as we do', async (name, args) => {
    const paths = listed(args())
    const tree = treeOf(paths)
    relabel(tree, policy)
    const theirs = await theirLabels(fileContexts(), paths)
    expect(Object.keys(theirs).length).toBeGreaterThan(5000)
    expect(new Set(Object.values(theirs)).size).toBeGreaterThan(30)
    expect(differences(labels(tree), theirs)).toEqual([])
    console.info(`${name}: ${paths.length} paths by ${policy.contexts.rules.length} rules, labels as of matchpathcon`)
  })
})

describe.skipIf(skip || requireTools('setfiles', 'cfsctl').skip)('setfiles', () => {
  let copy = ''
  afterAll(() => rmSync(copy, { recursive: true, force: true }))

  test('labels a real root as we do', async () => {
    copy = makeMemoryDirectory(2 ** 30)
    await run('cp', ['-a', `${root}/.`, copy])
    await run('sh', ['-c', 'setfiles -F -r "$1" "$2" "$1" 2>/dev/null', 'sh', copy, fileContexts()])
    const raw = ['--no-repo', 'create-dumpfile', '--no-propagate-usr-to-root', copy]
    const tree = readDumpfile(await run('cfsctl', raw))
    const theirs = Object.fromEntries(
      // It stores the NUL behind the label, too.
      Object.entries(labels(tree)).map(([path, label]) => [path, label.replace(/\0$/, '')]),
    )
    expect(Object.values(theirs).filter((label) => label !== '-').length).toBeGreaterThan(5000)
    relabel(tree, policy)
    expect(differences(labels(tree), theirs)).toEqual([])
  })
})

describe.skipIf(skip || requireTools('cfsctl').skip)('cfsctl', () => {
  const cfsctl = (...args: string[]): Promise<Buffer> => run('cfsctl', ['--no-repo', '--hash', 'sha256', ...args])

  test('makes the same dumpfile and ids of the bootable root', async () => {
    const tree = readDumpfile(await cfsctl('create-dumpfile', root))
    expect(transformForBoot(tree, { directory: root })).toBe(true)
    const theirs = (await cfsctl('create-dumpfile', '--bootable', root)).toString('latin1')
    expect(theirs.split('security.selinux=').length).toBeGreaterThan(5000)
    expect(dumpfileText(tree, { firstNames: true }).toString('latin1') === theirs).toBe(true)
    for (const version of [1, 2] as const) {
      const id = await cfsctl('--erofs-version', `${version}`, 'compute-id', '--bootable', root)
      expect(fsverityDigest('sha256', writeImage(tree, { version })).hex).toBe(id.toString().trim())
    }
  })
})

// Where libselinux and cfsctl differ, we are with cfsctl, whose ids are to be met.
describe.skipIf(requireTools('matchpathcon', 'cfsctl').skip)('an expression without special characters', () => {
  test.each([
    ['before a pattern', { '': '/usr/x exact\n/usr/.* pattern\n' }, 'exact', 'pattern'],
    ['before a pattern of another file', { '': '/usr/x exact\n', '.local': '/usr/.* pattern\n' }, 'exact', 'pattern'],
    ['for its type before all types', { '': '/usr/x -- typed\n/usr/x all\n' }, 'typed', 'all'],
    ['after a pattern', { '': '/usr/.* pattern\n/usr/x exact\n' }, 'exact', 'exact'],
    ['not there', { '': '/usr/x.* longer\n/usr/.* shorter\n' }, 'shorter', 'shorter'],
  ] as const)('%s', (_, files, libselinux, ours) => {
    const directory = makeMemoryDirectory()
    try {
      const home = join(directory, 'etc/selinux/t/contexts/files')
      const make = `mkdir -p "$1/usr" "$1/boot" "$1/sysroot" "$2"; touch "$1/usr/x"; echo SELINUXTYPE=t > "$1/etc/selinux/config"`
      execFileSync('sh', ['-c', make, 'sh', directory, home])
      for (const [suffix, text] of Object.entries(files)) {
        execFileSync('sh', ['-c', 'cat > "$1"', 'sh', `${home}/file_contexts${suffix}`], { input: text })
      }
      const args = ['-N', '-n', '-f', `${home}/file_contexts`, '-m', 'file', '/usr/x']
      expect(execFileSync('matchpathcon', args, { encoding: 'utf8' }).trim()).toBe(libselinux)
      const dump = execFileSync('cfsctl', ['--no-repo', 'create-dumpfile', '--bootable', directory], { env: quietRust })
      expect(labels(readDumpfile(dump))['/usr/x']).toBe(ours)
      expect(readPolicyOfDirectory(directory)?.label(fromLatin1('/usr/x'), '-')).toBe(ours)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
