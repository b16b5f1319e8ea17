/** An image from a dumpfile of 60,000 lines, beside mkcomposefs. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { available, compare, shell } from './side-by-side.ts'

function dumpfile(): string {
  const line = (path: string, rest: string): string => `${path} ${rest}\n`
  let text = line('/', '0 40755 302 0 0 0 1700000000.0 - - -')
  for (let d = 0; d < 300; d++) {
    text += line(`/directory-${d}`, '0 40755 2 0 0 0 1700000000.0 - - -')
    for (let f = 0; f < 200; f++) {
      const hex = (d * 200 + f).toString(16).padStart(64, '0')
      const object = `${hex.slice(0, 2)}/${hex.slice(2)}`
      text += line(`/directory-${d}/file-${f}`, `${1000 + f} 100644 1 0 0 0 17000000${f % 90}.${d} ${object} - ${hex}`)
    }
  }
  return text
}

/** Both write the image. */
export async function compareMkfs(directory: string, composefs: string): Promise<void> {
  const dump = join(directory, 'dump')
  writeFileSync(dump, dumpfile())
  await compare(
    'an image from a dumpfile of 60,301 lines',
    available([
      { name: 'composefs mkfs --from-file', run: () => shell(`${composefs} mkfs --from-file ${dump} ${dump}.ours`) },
      {
        name: 'mkcomposefs --from-file',
        needs: 'mkcomposefs',
        run: () => shell(`mkcomposefs --from-file ${dump} ${dump}.c`),
      },
      {
        name: 'cfsctl mkcomposefs --from-file',
        needs: 'cfsctl',
        run: () => shell(`cfsctl mkcomposefs --from-file ${dump} ${dump}.rust`),
      },
    ]),
  )
}
