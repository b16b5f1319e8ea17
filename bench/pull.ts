/** A pull from a registry on loopback, beside skopeo and cfsctl. */
import { spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bytesOfFile, writeLayout } from './material.ts'
import { available, compare, has, shell } from './side-by-side.ts'

const port = 5917

/** `directory` must have room for four times the layer. */
export async function comparePulls(directory: string, composefs: string, layer: string): Promise<void> {
  if (!has('docker-registry') || !has('skopeo')) {
    console.log('  left out: pulls (docker-registry and skopeo are needed)')
    return
  }
  const at = (name: string) => join(directory, name)
  shell(`gzip -6 < ${layer} > ${at('blob')}`)
  writeLayout(at('layout'), bytesOfFile(layer), bytesOfFile(at('blob')), '+gzip')
  mkdirSync(at('registry'))
  writeFileSync(
    at('registry.yml'),
    `version: 0.1\nstorage: {filesystem: {rootdirectory: ${at('registry')}}}\nhttp: {addr: 127.0.0.1:${port}}\n`,
  )
  mkdirSync(at('.config/containers'), { recursive: true })
  writeFileSync(
    at('.config/containers/registries.conf'),
    `[[registry]]\nlocation = "127.0.0.1:${port}"\ninsecure = true\n`,
  )
  const server = spawn('docker-registry', ['serve', at('registry.yml')], { stdio: 'ignore', detached: true })
  const image = `docker://127.0.0.1:${port}/bench:latest`
  const [ours, theirs, plain] = [at('ours'), at('theirs'), at('plain')]
  const clean = () => {
    for (const path of [ours, theirs, plain]) rmSync(path, { recursive: true, force: true })
  }
  try {
    await sleep(1000)
    shell(`skopeo copy -q --dest-tls-verify=false oci:${at('layout')}:latest ${image}`)
    await compare(
      'pull of an image with one layer of 40,000 files, gzip, from loopback',
      available([
        {
          name: 'composefs oci pull',
          prepare: () => {
            clean()
            shell(`${composefs} init --insecure ${ours}`)
          },
          run: () => shell(`${composefs} --repo ${ours} oci pull --progress none ${image} x`),
        },
        {
          name: 'cfsctl oci pull',
          needs: 'cfsctl',
          prepare: () => {
            clean()
            shell(`cfsctl --repo ${theirs} init --insecure`)
          },
          run: () =>
            shell(`cfsctl --repo ${theirs} oci pull ${image} x`, { HOME: directory, XDG_CONFIG_HOME: at('.config') }),
        },
        {
          name: 'skopeo copy to dir:, compressed as it is',
          prepare: clean,
          run: () => shell(`skopeo copy -q --src-tls-verify=false ${image} dir:${plain}`),
        },
        {
          name: 'skopeo copy to dir:, decompressed',
          prepare: clean,
          run: () => shell(`skopeo copy -q --src-tls-verify=false --dest-decompress ${image} dir:${plain}`),
        },
      ]),
    )
  } finally {
    process.kill(-server.pid!)
    clean()
  }
}
