import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { followLink, linkTarget, listLinks, placeLink } from '../../../src/repository/links.ts'
import { listRefs, readRef, removeRef } from '../../../src/repository/refs.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

test.each([
  ['streams/x', 'objects/ab/cd', '../objects/ab/cd'],
  ['images/abcd', 'objects/ab/cd', '../objects/ab/cd'],
  ['streams/refs/x', 'streams/y', '../y'],
  ['streams/refs/oci/x', 'streams/oci-manifest-sha256:00', '../../oci-manifest-sha256:00'],
  ['images/refs/my/ref', 'images/abcd', '../../abcd'],
  ['streams/refs/a/b/c', 'streams/refs/a/d', '../d'],
  ['x', 'objects/ab/cd', 'objects/ab/cd'],
])('a link at %s to %s says %s', (link, target, text) => {
  expect(linkTarget(link, target)).toBe(text)
})

describe('placing links', () => {
  test('directories are made on the way, and the link can be followed', () => {
    const root = temporaryDirectory()
    placeLink(root, 'streams/refs/a/b', 'streams/x')
    expect(readlinkSync(join(root, 'streams/refs/a/b'))).toBe('../../x')
    expect(followLink(root, 'streams/refs/a/b')).toBe('streams/x')
    mkdirSync(join(root, 'objects/ab'), { recursive: true })
    writeFileSync(join(root, 'objects/ab/cd'), 'found')
    placeLink(root, 'streams/x', 'objects/ab/cd')
    expect(readFileSync(join(root, 'streams/refs/a/b'), 'utf8')).toBe('found')
  })

  test('a link is re-pointed, the same one left alone, and nothing else stays', () => {
    const root = temporaryDirectory()
    placeLink(root, 'streams/x', 'objects/ab/cd')
    const before = lstatSync(join(root, 'streams/x')).ino
    placeLink(root, 'streams/x', 'objects/ab/cd')
    expect(lstatSync(join(root, 'streams/x')).ino).toBe(before)
    placeLink(root, 'streams/x', 'objects/ab/ef')
    expect(readlinkSync(join(root, 'streams/x'))).toBe('../objects/ab/ef')
    expect(readdirSync(root)).toEqual(['streams'])
  })

  test('a name excludes names below it, both ways round', () => {
    const root = temporaryDirectory()
    placeLink(root, 'streams/refs/a', 'streams/x')
    expect(() => placeLink(root, 'streams/refs/a/b', 'streams/x')).toThrow(
      expect.objectContaining({ code: 'ERR_OCI_NAME' }),
    )
    placeLink(root, 'streams/refs/c/d', 'streams/x')
    expect(() => placeLink(root, 'streams/refs/c', 'streams/x')).toThrow(
      expect.objectContaining({ code: 'ERR_OCI_NAME' }),
    )
    expect(readdirSync(root)).toEqual(['streams'])
  })

  test('a symlink on the way is not followed', () => {
    const root = temporaryDirectory()
    const elsewhere = temporaryDirectory()
    mkdirSync(join(root, 'streams/refs'), { recursive: true })
    symlinkSync(elsewhere, join(root, 'streams/refs/evil'))
    expect(() => placeLink(root, 'streams/refs/evil/x', 'streams/y')).toThrow(
      expect.objectContaining({ code: 'ERR_OCI_NAME' }),
    )
    expect(readdirSync(elsewhere)).toEqual([])
  })
})

describe('refs', () => {
  test('are listed below their prefix, sorted, whatever they lead to', () => {
    const root = temporaryDirectory()
    for (const name of ['z', 'oci/b', 'oci/a', 'oci/deep/c'])
      placeLink(root, `streams/refs/${name}`, `streams/to-${name.at(-1)}`)
    writeFileSync(join(root, 'streams/refs/oci/no-link'), '')
    symlinkSync('/etc/passwd', join(root, 'streams/refs/oci/outside'))
    symlinkSync(Buffer.from('../../x'), Buffer.from(join(root, 'streams/refs/oci/\xff'), 'latin1'))
    expect(listRefs(root, 'streams', 'oci')).toEqual([
      { name: 'a', target: 'to-a' },
      { name: 'b', target: 'to-b' },
      { name: 'deep/c', target: 'to-c' },
    ])
    expect(listRefs(root, 'streams').map(({ name }) => name)).toEqual(['oci/a', 'oci/b', 'oci/deep/c', 'z'])
    expect(listRefs(root, 'images')).toEqual([])
    expect(listLinks(join(root, 'streams'))).toContain('refs/oci/outside')
    expect(() => listRefs(root, 'streams', '..')).toThrow(expect.objectContaining({ code: 'ERR_OCI_NAME' }))
  })

  test('links written in another way are understood; those that leave their kind are damage', () => {
    const root = temporaryDirectory()
    mkdirSync(join(root, 'streams/refs'), { recursive: true })
    symlinkSync('../../streams/x', join(root, 'streams/refs/long'))
    symlinkSync('../../objects/ab/cd', join(root, 'streams/refs/object'))
    expect(readRef(root, 'streams', 'long')).toBe('x')
    expect(readRef(root, 'streams', 'none')).toBeUndefined()
    expect(() => readRef(root, 'streams', 'object')).toThrow(
      expect.objectContaining({ code: 'ERR_REPOSITORY_CORRUPT' }),
    )
  })

  test('are not looked for, and not removed, behind a symlink', () => {
    const root = temporaryDirectory()
    const elsewhere = temporaryDirectory()
    mkdirSync(join(root, 'streams/refs'), { recursive: true })
    symlinkSync(elsewhere, join(root, 'streams/refs/evil'))
    symlinkSync('../../x', join(elsewhere, 'name'))
    expect(readRef(root, 'streams', 'evil/name')).toBeUndefined()
    expect(() => removeRef(root, 'streams', 'evil/name')).toThrow(expect.objectContaining({ code: 'ERR_NOT_FOUND' }))
    expect(readdirSync(elsewhere)).toEqual(['name'])
  })

  test('only refs are removed', () => {
    const root = temporaryDirectory()
    placeLink(root, 'streams/refs/a/b', 'streams/x')
    expect(() => removeRef(root, 'streams', 'a')).toThrow(expect.objectContaining({ code: 'ERR_OCI_NAME' }))
    expect(() => removeRef(root, 'streams', 'c')).toThrow(expect.objectContaining({ code: 'ERR_NOT_FOUND' }))
    expect(() => removeRef(root, 'streams', '../x')).toThrow(expect.objectContaining({ code: 'ERR_OCI_NAME' }))
    removeRef(root, 'streams', 'a/b')
    expect(existsSync(join(root, 'streams/refs/a'))).toBe(true)
    expect(() => removeRef(root, 'streams', 'a/b')).toThrow(expect.objectContaining({ code: 'ERR_NOT_FOUND' }))
  })
})

test.each(['streams', 'streams/refs', 'images'])('something else in the place of %s is told as damage', (place) => {
  const root = temporaryDirectory()
  mkdirSync(join(root, place, '..'), { recursive: true })
  writeFileSync(join(root, place), '')
  const [room] = place.split('/')
  expect(() => placeLink(root, `${room}/refs/a`, `${room}/x`)).toThrow(
    expect.objectContaining({ code: 'ERR_REPOSITORY_CORRUPT', path: join(root, place) }),
  )
})
