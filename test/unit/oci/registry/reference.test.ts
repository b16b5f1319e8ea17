import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseReference, referenceText } from '../../../../src/oci/index.ts'
import { isUnqualified, registryHost } from '../../../../src/oci/registry/reference.ts'
import { runs } from '../../../support/runs.ts'

const digest = `sha256:${'5f'.repeat(32)}`

describe('parseReference', () => {
  test.each([
    ['fedora', 'docker.io/library/fedora:latest'],
    ['fedora:41', 'docker.io/library/fedora:41'],
    ['user/app', 'docker.io/user/app:latest'],
    ['docker.io/fedora', 'docker.io/library/fedora:latest'],
    ['index.docker.io/fedora', 'docker.io/library/fedora:latest'],
    ['quay.io/fedora/fedora:41', 'quay.io/fedora/fedora:41'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/a/b/c:x', 'localhost:5000/a/b/c:x'],
    ['host:5000/app', 'host:5000/app:latest'],
    ['HOST/app', 'HOST/app:latest'],
    ['[::1]:5000/app:x', '[::1]:5000/app:x'],
    ['[fe80::1]/app', '[fe80::1]/app:latest'],
    [`quay.io/a@${digest}`, `quay.io/a@${digest}`],
    [`quay.io/a:x@${digest}`, `quay.io/a:x@${digest}`],
    ['quay.io/a__b/c--d.e_f', 'quay.io/a__b/c--d.e_f:latest'],
  ])('%s', (text, full) => {
    const reference = parseReference(text)
    expect(referenceText(reference)).toBe(full)
    expect(parseReference(full)).toEqual(reference)
  })

  test.each([
    '',
    ':x',
    '@',
    'quay.io/',
    '/app',
    'quay.io//app',
    'quay.io/App',
    'quay.io/a/',
    'quay.io/a:',
    'quay.io/a:x:y',
    `quay.io/a:${'x'.repeat(129)}`,
    `quay.io/${'a'.repeat(256)}`,
    'quay.io/a@sha256:abc',
    `quay.io/a@${digest}@${digest}`,
    'quay.io/a@md5:d41d8cd98f00b204e9800998ecf8427e',
    'quay.io/../a',
    'quay.io/a?b',
    'user:secret@quay.io/a',
    'bad_host.io/a',
    '[::1/a',
    'host:99999999/a',
    'host:65536/a',
    'https://quay.io/a',
    'quay.io/a b',
    'quay.io/é',
  ])('refuses %j', (text) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'ERR_OCI_REFERENCE' }))
  })

  test('a password that does not belong there is not told', () => {
    expect(() => parseReference('user:hunter2@quay.io/a')).toThrow(/^(?!.*hunter2)/)
  })

  test('any text is read or refused, and what was read is read again', () => {
    const part = fc.constantFrom('a', 'b.c', ':', '/', '@', digest, 'localhost', '5000', '[::1]', '_', '-', 'A', ' ')
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        let reference: ReturnType<typeof parseReference>
        try {
          reference = parseReference(parts.join(''))
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_OCI_REFERENCE' })
          return
        }
        expect(parseReference(referenceText(reference))).toEqual(reference)
      }),
      { numRuns: runs(2000) },
    )
  })

  test('Docker Hub answers elsewhere', () => {
    expect(registryHost(parseReference('fedora'))).toBe('registry-1.docker.io')
    expect(registryHost(parseReference('quay.io/a'))).toBe('quay.io')
    expect([isUnqualified('fedora:41'), isUnqualified('user/app'), isUnqualified('quay.io/a')]).toEqual([
      true,
      true,
      false,
    ])
  })
})
