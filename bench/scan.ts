/** An image from a directory of 40,000 files, beside cfsctl and mkcomposefs: the id alone, and with the object store. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { available, compare, shell } from './side-by-side.ts'

/** `directory` must have room for three times the layer. */
export async function compareScans(directory: string, composefs: string, layer: string): Promise<void> {
  const root = join(directory, 'root')
  const [ours, theirs, store] = ['ours', 'theirs', 'store'].map((name) => join(directory, name))
  shell(`mkdir -p ${root} && tar -xf ${layer} -C ${root}`)
  await compare(
    'the image id of a directory of 40,000 files',
    available([
      { name: 'composefs compute-id', run: () => shell(`${composefs} --no-repo compute-id ${root}`) },
      { name: 'cfsctl compute-id', needs: 'cfsctl', run: () => shell(`cfsctl --no-repo compute-id ${root}`) },
      {
        name: 'mkcomposefs --print-digest-only',
        needs: 'mkcomposefs',
        run: () => shell(`mkcomposefs --print-digest-only ${root}`),
      },
    ]),
  )
  const clean = () => {
    for (const path of [ours!, theirs!, store!]) rmSync(path, { recursive: true, force: true })
  }
  await compare(
    'the image and the objects of a directory of 40,000 files',
    available([
      {
        name: 'composefs create-image',
        prepare: () => {
          clean()
          shell(`${composefs} init --insecure ${ours}`)
        },
        run: () => shell(`${composefs} --repo ${ours} create-image ${root}`),
      },
      {
        name: 'cfsctl create-image',
        needs: 'cfsctl',
        prepare: () => {
          clean()
          shell(`cfsctl --repo ${theirs} init --insecure`)
        },
        run: () => shell(`cfsctl --repo ${theirs} create-image ${root}`),
      },
      {
        name: 'mkcomposefs --digest-store',
        needs: 'mkcomposefs',
        prepare: clean,
        run: () => shell(`mkcomposefs --digest-store=${store} ${root} ${directory}/image`),
      },
    ]),
  )
  clean()
  rmSync(root, { recursive: true, force: true })
}
