/** Import of a layer of 40,000 files, beside cfsctl and tar, compressed in three ways. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { bytesOfFile, writeLayout } from './material.ts'
import { available, compare, shell } from './side-by-side.ts'

const compressors = { '': 'cat', '+gzip': 'gzip -6', '+zstd': 'zstd -3 -q' } as const
const untar = { '': 'tar -x', '+gzip': 'tar -xz', '+zstd': 'tar -x --zstd' } as const

/** Each way in turn; `directory` must have room for three times the layer. */
export async function compareImports(directory: string, composefs: string, layer: string): Promise<void> {
  for (const suffix of ['+gzip', '+zstd', ''] as const) {
    const layout = join(directory, 'layout')
    const blob = join(directory, 'blob')
    shell(`${compressors[suffix]} < ${layer} > ${blob}`)
    writeLayout(layout, bytesOfFile(layer), bytesOfFile(blob), suffix)
    const [ours, theirs, root] = ['ours', 'theirs', 'root'].map((name) => join(directory, name))
    const clean = () => {
      for (const path of [ours!, theirs!, root!]) rmSync(path, { recursive: true, force: true })
    }
    await compare(
      `import of a layer of 40,000 files, ${suffix === '' ? 'plain' : suffix.slice(1)}`,
      available([
        {
          name: 'composefs import (oci-archive)',
          prepare: () => {
            clean()
            shell(`${composefs} init --insecure ${ours}`)
          },
          run: () => shell(`tar -c -C ${layout} . | ${composefs} import --repo ${ours} --name x -q`),
        },
        {
          name: 'cfsctl oci pull oci:',
          needs: 'cfsctl',
          prepare: () => {
            clean()
            shell(`cfsctl --repo ${theirs} init --insecure`)
          },
          run: () => shell(`cfsctl --repo ${theirs} oci pull oci:${layout} x`),
        },
        {
          name: untar[suffix],
          needs: 'tar',
          prepare: () => {
            clean()
            shell(`mkdir ${root}`)
          },
          run: () => shell(`${untar[suffix]} -f ${blob} -C ${root}`),
        },
      ]),
    )
    clean()
    for (const path of [layout, blob]) rmSync(path, { recursive: true, force: true })
  }
}
