#!/usr/bin/env bash
# Builds the Containerfile, and shows that the id it computed inside is that of the image's layers outside.
#   run.sh ROOT.tar [DIRECTORY]     ROOT.tar: a root file system with times in whole seconds; run as root
# Needs buildah, tar and the compiled package (npm ci).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
root=$(realpath "$1")
work=$(realpath -m "${2:-./unified}")
composefs() { node "$project/dist/cli/main.js" "$@"; }
build() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }

mkdir -p "$work/context"
ln -f "$root" "$work/context/root.tar" 2>/dev/null || cp "$root" "$work/context/root.tar"
mkdir -p "$work/context/etc"
touch -d @1735689600 "$work/context/etc/"{hosts,hostname,resolv.conf}
# The package as npm would install it, and the program that runs it.
tar -chf "$work/context/tools.tar" \
  -C "$(dirname "$(readlink -f "$(command -v node)")")" node \
  --transform 's,^\./,composefs/,' -C "$project" ./package.json ./dist ./node_modules/commander \
  ./node_modules/@noble ./node_modules/koffi ./node_modules/@koromix ./node_modules/fzstd ./node_modules/minipass
cp "$here/Containerfile" "$work/context/"

build bud --isolation chroot -t unified "$work/context" >&2
build push -q unified "oci-archive:$work/unified.tar:unified" >&2

composefs --repo "$work/repo" import -q --name unified "$work/unified.tar" >/dev/null
inside=$(build run --isolation chroot "$(build from unified)" cat /boot/cmdline)
outside=composefs.digest=v1-sha512-12:$(composefs --repo "$work/repo" oci compute-id --bootable unified)
echo "inside the build, from a directory: $inside"
echo "outside, from the layers:           $outside"
[ "$inside" = "$outside" ] && echo same
