/**
 * An image from a directory of 40,000 files: the id alone, and with the object store. Beside each peer by that peer's own
 * command, with its hash and its format: sha512 beside cfsctl, sha256 beside mkcomposefs.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Contender, compare, has, shell } from './side-by-side.ts'

/** `directory` must have room for three times the layer. */
export async function compareScans(directory: string, composefs: string, layer: string): Promise<void> {
  const at = (name: string) => join(directory, name)
  const root = at('root')
  const clean = () => {
    for (const name of ['repository', 'store']) rmSync(at(name), { recursive: true, force: true })
  }
  const inRepository = (name: string, program: string): Contender => ({
    name,
    prepare: () => {
      clean()
      shell(`${program} --repo ${at('repository')} init --insecure`)
    },
    run: () => shell(`${program} --repo ${at('repository')} create-image ${root}`),
  })
  const mkcomposefs = composefs.replace(/main\.js$/, 'mkcomposefs.js')
  const idOf = (name: string, command: string): Contender => ({ name, run: () => shell(`${command} ${root}`) })
  const inStore = (name: string, command: string): Contender => ({
    name,
    prepare: clean,
    run: () => shell(`${command} --digest-store=${at('store')} ${root} ${at('image')}`),
  })

  shell(`mkdir -p ${root} && tar -xf ${layer} -C ${root}`)
  if (has('cfsctl')) {
    await compare('the image id of a directory of 40,000 files, sha512', [
      idOf('composefs compute-id', `${composefs} --no-repo compute-id`),
      idOf('cfsctl compute-id', 'cfsctl --no-repo compute-id'),
    ])
    await compare('its image and objects in a repository, sha512', [
      inRepository('composefs create-image', composefs),
      inRepository('cfsctl create-image', 'cfsctl'),
    ])
  } else console.log('  left out: beside cfsctl (it is not in PATH)')
  if (has('mkcomposefs')) {
    await compare('the image id of a directory of 40,000 files, sha256', [
      idOf('our mkcomposefs --print-digest-only', `${mkcomposefs} --print-digest-only`),
      idOf('mkcomposefs --print-digest-only', 'mkcomposefs --print-digest-only'),
    ])
    await compare('its image and objects in a store, sha256', [
      inStore('our mkcomposefs --digest-store', mkcomposefs),
      inStore('mkcomposefs --digest-store', 'mkcomposefs'),
    ])
  } else console.log('  left out: beside mkcomposefs (it is not in PATH)')
  clean()
  rmSync(root, { recursive: true, force: true })
}
