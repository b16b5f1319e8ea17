/**
 * Trees written out to disk, and what the reference tools and the kernel say of them.
 *
 * COMPOSEFS_SEED chooses other trees than the usual ones.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readImage, writeImage } from '../../src/erofs/index.ts'
import { fsverityDigest } from '../../src/fsverity/index.ts'
import { DigestStore, ObjectDirectory, Repository } from '../../src/repository/index.ts'
import { checkoutTree, type NotRestored } from '../../src/sinks/index.ts'
import { directoryTree } from '../../src/sources/index.ts'
import { readDumpfile } from '../../src/streams/dumpfile-reader.ts'
import { bytesOf, diffTrees, type FileSystem, inodes, inodeType, Leaf } from '../../src/tree/index.ts'
import { treeWith } from '../support/checkout-tree.ts'
import { compileInto } from '../support/compiled.ts'
import { Random } from '../support/random.ts'
import { randomDumpfile } from '../support/random-dumpfile.ts'
import { Layout, makeRealImage, skipRealImage } from '../support/real-image.ts'
import { shared } from '../support/shared.ts'
import { requireTools } from '../support/tools.ts'

const { COMPOSEFS_SEED } = process.env
const firstSeed = Number(COMPOSEFS_SEED ?? 0)
const count = 150

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'composefs-checkout-'))
})
afterAll(() => {
  rmSync(directory, { recursive: true })
})

const root = process.getuid?.() === 0
if (!root) console.warn('skipped: owners, devices and mounts take root')

/** The tree that mkcomposefs sees in a directory, and the id of its image. */
function scan(path: string): { tree: FileSystem; id: string } {
  const image = `${path}.scan`
  const id = execFileSync('mkcomposefs', ['--print-digest', path, image]).toString().trim()
  return { tree: readImage(readFileSync(image)).fileSystem, id }
}

/** CAP_NET_RAW, permitted and effective. */
const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex')

/** A random tree whose contents exist, none of them so large that hashing takes long. */
function randomTree(seed: number, objects: ObjectDirectory): FileSystem {
  const random = new Random(seed)
  const tree = readDumpfile(randomDumpfile(seed, { rust: true }).text)
  for (const inode of inodes(tree)) {
    // Random ones cannot be read back.
    let xattrs = inode.stat.xattrs.filter((name) => name !== 'security.capability')
    const isFile = inode.kind === 'leaf' && (inode.content.type === 'inline' || inode.content.type === 'external')
    if (isFile && random.chance(0.1)) xattrs = xattrs.with(bytesOf('security.capability'), capability)
    inode.stat = { ...inode.stat, xattrs }
    if (inode.kind === 'directory') continue
    const { content } = inode
    if (content.type === 'external' || (content.type === 'inline' && content.bytes.length > 64)) {
      // What is larger than that is an object to mkcomposefs, sparse or not.
      const bytes = Buffer.alloc(random.between(65, 20_000), random.bytes(random.between(1, 9)), 'latin1')
      inode.content = { type: 'external', size: bytes.length, id: objects.put(bytes) }
    }
  }
  // Read back, a whiteout with such a name is taken for one of those that hide the objects.
  for (const [name, inode] of tree.root.entries) {
    if (inode instanceof Leaf && inode.isWhiteout && /^[0-9a-f]{2}$/.test(name)) tree.root.entries.delete(name)
  }
  return tree
}

/** What differs, in the words of a checkout; hardlinks aside, which mkcomposefs does not look for: first names only. */
function told(tree: FileSystem, found: FileSystem): string[] {
  const further = new Set([...tree.walk()].flatMap((item) => (item.kind === 'link' ? [item.path] : [])))
  return [...diffTrees(tree, found)].flatMap(({ path, a, b, changes }) => {
    if (further.has(path) && b !== undefined) return []
    if (a === undefined || b === undefined) return [`${path} ${a === undefined ? 'unexpected' : 'inode'}`]
    return changes.flatMap((change) => {
      const { what } = change
      if (what === 'links' || what === 'nlink' || what === 'home') return []
      return [`${path} ${what === 'uid' || what === 'gid' ? 'owner' : what}${what === 'xattr' ? change.name : ''}`]
    })
  })
}

const listed = ({ path, what, wanted }: NotRestored): string => `${path} ${what}${what === 'xattr' ? wanted : ''}`

describe.skipIf(!root || requireTools('mkcomposefs').skip)('mkcomposefs', () => {
  test('finds in a checkout the tree that was checked out, but for what is listed', async () => {
    const objects = new ObjectDirectory(join(directory, 'objects'), 'sha256')
    let [inodesSeen, same, unlike, groups] = [0, 0, 0, 0]
    for (let seed = firstSeed; seed < firstSeed + count; seed++) {
      const tree = randomTree(seed, objects)
      const path = join(directory, `random-${seed}`)
      const result = await checkoutTree(tree, objects, path)
      const { tree: found, id } = scan(path)
      const differences = told(tree, found)
      const uniqueNames = new Set(result.notRestored.filter(({ what }) => what !== 'hardlink').map(listed))
      expect([...new Set(differences)].sort(), `seed ${seed}`).toEqual([...uniqueNames].sort())
      inodesSeen += result.inodes
      if (differences.length > 0) unlike++
      const names = namesByInode(tree)
      for (const paths of names) {
        groups++
        const numbers = new Set(
          paths.map((name) => lstatSync(Buffer.from(path + name, 'latin1'), { throwIfNoEntry: false })?.ino),
        )
        expect(numbers.size, `seed ${seed}: ${paths}`).toBe(1)
      }
      if (differences.length === 0 && names.length === 0) {
        expect(id, `seed ${seed}`).toBe(fsverityDigest('sha256', writeImage(tree, { version: 0, raise: true })).hex)
        same++
      }
      rmSync(path, { recursive: true })
      rmSync(`${path}.scan`)
    }
    console.info(
      `${count} random trees, ${inodesSeen} inodes, ${groups} hardlinked; ${same} with the same id, ${unlike} with listed losses`,
    )
    expect(same).toBeGreaterThan(5)
    expect(groups).toBeGreaterThan(10)
  })
})

describe.skipIf(!root)('our own scan', () => {
  test('of a checkout gives the same image, with its hardlinks', async () => {
    const objects = new ObjectDirectory(join(directory, 'scanned-objects'), 'sha256')
    let [same, groups] = [0, 0]
    for (let seed = firstSeed; seed < firstSeed + count; seed++) {
      const tree = restorable(randomTree(seed, objects))
      const path = join(directory, `scanned-${seed}`)
      const { notRestored, links } = await checkoutTree(tree, objects, path)
      expect(notRestored, `seed ${seed}`).toEqual([])
      const found = await directoryTree(path, new DigestStore('sha256'), { profile: 'raw' })
      expect([...diffTrees(tree, found)], `seed ${seed}`).toEqual([])
      for (const version of [0, 1, 2] as const) {
        const [ours, theirs] = [tree, found].map((tree) => writeImage(tree, { version }))
        expect(theirs!.equals(ours!), `seed ${seed}, version ${version}`).toBe(true)
      }
      same++
      groups += links
      rmSync(path, { recursive: true })
    }
    console.info(
      `${same} random trees with ${groups} hardlinks: the same images of versions 0, 1 and 2 after a checkout and a scan`,
    )
    expect(groups).toBeGreaterThan(10)
  })
})

/** Without what no file system keeps: modes of symlinks, odd times, owners that mean nobody, attributes of no kind. */
function restorable(tree: FileSystem): FileSystem {
  for (const inode of inodes(tree)) {
    const { stat } = inode
    const type = inodeType(inode)
    const known = type === 'file' || type === 'directory' ? /^(?:user|trusted|security)\../ : /^(?:trusted|security)\../
    inode.stat = {
      ...stat,
      mode: type === 'symlink' ? 0o777 : stat.mode,
      uid: stat.uid % 0xffffffff,
      gid: stat.gid % 0xffffffff,
      mtime: Number(stat.mtime) % 2 ** 32,
      xattrs: stat.xattrs.filter((name) => known.test(name)).filter((name) => stat.xattrs.get(name)!.length < 200),
    }
    if (inode instanceof Leaf) inode.nlink = undefined
  }
  return tree
}

/** The names of each leaf that has several. */
function namesByInode(tree: FileSystem): string[][] {
  const names = new Map<Leaf, string[]>()
  for (const item of tree.walk()) {
    const leaf = item.kind === 'link' ? item.leaf : item.inode
    if (leaf instanceof Leaf) names.set(leaf, [...(names.get(leaf) ?? []), item.path])
  }
  return [...names.values()].filter((paths) => paths.length > 1)
}

describe.skipIf(!root || skipRealImage())('a real image', () => {
  test('checked out is what the kernel shows of it mounted', async () => {
    const where = join(directory, 'real')
    await makeRealImage(where)
    const repository = await Repository.init(join(directory, 'repo'), { insecure: true, algorithm: 'sha256' })
    const { imageId } = await new Layout(join(where, 'oci')).importInto(repository, 'real')
    const image = repository.objects.pathOf(imageId)
    const { fileSystem } = readImage(readFileSync(image))
    const target = join(directory, 'real-checkout')
    const result = await checkoutTree(fileSystem, repository.objects, target)
    await repository.close()
    expect(result.notRestored).toEqual([])
    const script = shared.path('fixtures/mount-check.sh')
    const { stdout, status } = spawnSync('bash', [script, image, repository.objects.path, target, '--xattrs', 'all'])
    const report = stdout.toString().trimEnd()
    console.info(`${result.inodes} inodes and ${result.links} hardlinks: ${report}`)
    expect({ status, report }).toEqual({
      status: 0,
      report: `${result.inodes + result.links} inodes compared, 0 differ`,
    })
  })
})

describe.skipIf(!root || requireTools('mkfs.xfs', 'mount').skip)('a file system with reflinks', () => {
  test('holds contents once, verified all the same', async () => {
    const image = join(directory, 'xfs.img')
    const mount = join(directory, 'xfs')
    execFileSync('truncate', ['-s', '320M', image])
    execFileSync('mkfs.xfs', ['-q', '-m', 'reflink=1', image])
    mkdirSync(mount)
    execFileSync('mount', ['-o', 'loop', image, mount])
    try {
      const objects = new ObjectDirectory(join(mount, 'objects'), 'sha256')
      const size = 30_000_000
      const content = { type: 'external', size, id: objects.put(Buffer.alloc(size, 'x')) } as const
      const tree = treeWith({ '/a': content, '/b': content, '/empty': { type: 'inline', bytes: Buffer.alloc(0) } })
      execFileSync('sync', ['-f', mount])
      const free = (): number => statfsSync(mount).bfree * statfsSync(mount).bsize
      const before = free()
      const result = await checkoutTree(tree, objects, join(mount, 'target'))
      execFileSync('sync', ['-f', mount])
      expect(result).toMatchObject({ bytes: 2 * size, reflinkedBytes: 2 * size, notRestored: [] })
      expect(before - free()).toBeLessThan(size / 10)
      expect(readFileSync(join(mount, 'target/b')).equals(Buffer.alloc(size, 'x'))).toBe(true)
      const copied = await checkoutTree(tree, objects, join(mount, 'copied'), { reflink: false })
      expect(copied).toMatchObject({ bytes: 2 * size, reflinkedBytes: 0 })
      writeFileSync(objects.pathOf(content.id), Buffer.alloc(size, 'y'))
      const damaged = expect(checkoutTree(tree, objects, join(mount, 'damaged'))).rejects
      await damaged.toMatchObject({ code: 'ERR_REPOSITORY_CORRUPT', path: join(mount, 'damaged/a') })
      expect(readdirSync(join(mount, 'damaged'))).toEqual([])
    } finally {
      execFileSync('umount', [mount])
    }
  })
})

describe.skipIf(!root || requireTools('setpriv').skip)('another user', () => {
  test('is told what is missing, on stderr and in the JSON; no program gets his set-id bits', () => {
    const where = join(directory, 'user')
    mkdirSync(where)
    compileInto(where)
    chmodSync(directory, 0o755)
    const home = join(where, 'home')
    mkdirSync(home)
    chmodSync(home, 0o777)
    const dump = [
      '/ 0 40755 3 1000 1000 0 5.6 - - -',
      '/device 0 20600 1 0 0 259 1.0 - - -',
      '/fifo 0 10600 1 1000 1000 0 1.0 - - -',
      '/mine 1 100644 1 1000 1000 0 1.2 - x - user.a=1 security.ima=2 trusted.t=3',
      `/ping 1 104755 2 0 0 0 1.0 - x - security.capability=\\x01\\x00\\x00\\x02${'\\x00'.repeat(16)}`,
      '/second 0 @120000 - - - - 0.0 /ping - -',
      '',
    ].join('\n')
    writeFileSync(join(where, 'a.dump'), dump)
    const target = join(home, 'out')
    const args = ['--reuid=1000', '--regid=1000', '--clear-groups', process.execPath]
    const command = ['src/cli/main.js', 'checkout', '--json', 'a.dump', target]
    const { status, stdout, stderr } = spawnSync('setpriv', [...args, ...command], { cwd: where, encoding: 'utf8' })
    expect({ status, error: status === 0 ? '' : stderr }).toEqual({ status: 0, error: '' })
    const { notRestored } = JSON.parse(stdout) as { notRestored: NotRestored[] }
    expect(notRestored).toEqual([
      { path: '/device', what: 'inode', wanted: 'character-device 1:3', reason: 'EPERM' },
      { path: '/mine', what: 'xattr', wanted: 'security.ima', reason: 'EPERM' },
      { path: '/mine', what: 'xattr', wanted: 'trusted.t', reason: 'EPERM' },
      { path: '/ping', what: 'xattr', wanted: 'security.capability', reason: 'EPERM' },
      { path: '/ping', what: 'owner', wanted: '0:0', actual: '1000:1000', reason: 'EPERM' },
      { path: '/ping', what: 'mode', wanted: '4755', actual: '755', reason: 'its owner is another' },
    ])
    for (const text of [
      'owner, 1 times',
      '/ping: 0:0, is 1000:1000 (EPERM)',
      '/device: character-device 1:3 (EPERM)',
    ]) {
      expect(stderr).toContain(text)
    }
    expect(readdirSync(target).sort()).toEqual(['fifo', 'mine', 'ping', 'second'])
    expect(lstatSync(join(target, 'second')).nlink).toBe(2)
    expect(lstatSync(target, { bigint: true }).mtimeNs).toBe(5_000_000_006n)
  })
})
