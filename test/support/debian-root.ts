import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { run } from './cfsctl.ts'
import { requireTools } from './tools.ts'

const { COMPOSEFS_REQUIRE_TOOLS, SELINUX_ROOT_CACHE } = process.env

const packages = ['selinux-policy-default', 'selinux-basics', 'systemd', 'cron', 'openssh-server', 'perl', 'man-db']

// The mirror is that of this machine; one that is a snapshot may carry an expired date.
const script = `
mirror=$(apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)' 'Created-By: Packages' |
  awk -F'|' '$1=="Debian" && $2 !~ /security/ {print $2; exit}')
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
exec mmdebstrap --quiet --mode=root --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \\
  --include="$1" "$suite" "$2" "$mirror"`

/** Whether a Debian system cannot be made here, which is said once; an error where COMPOSEFS_REQUIRE_TOOLS=1. */
export function skipDebianRoot(): boolean {
  if (requireTools('mmdebstrap', 'apt-get', 'awk', 'find').skip) return true
  if (process.getuid?.() === 0) return false
  const text = 'the root of a system takes root'
  if (COMPOSEFS_REQUIRE_TOOLS === '1') throw new Error(`COMPOSEFS_REQUIRE_TOOLS=1, but ${text}`)
  console.warn(`skipped: ${text}`)
  return true
}

/**
 * A Debian system with its SELinux policy, `/boot` and `/sysroot`, made once and kept in SELINUX_ROOT_CACHE (about a
 * minute and 400 MB). Not to be changed.
 */
export async function debianRoot(): Promise<string> {
  const path = SELINUX_ROOT_CACHE ?? join(homedir(), '.cache/composefs-streams/selinux-root')
  if (existsSync(path)) return path
  const unfinished = `${path}.unfinished`
  rmSync(unfinished, { recursive: true, force: true })
  mkdirSync(dirname(path), { recursive: true })
  await run('sh', ['-c', script, 'sh', packages.join(), unfinished])
  mkdirSync(join(unfinished, 'sysroot'))
  renameSync(unfinished, path)
  return path
}
