#!/usr/bin/env bash
# Builds the Containerfile, and shows that the id it computed inside is that of the layers outside: those of the base
# that was mounted, and those of the final image.
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
inside=$(build run --isolation chroot "$(build from unified)" cat /boot/cmdline)

# The id that the layers of an image give, taken outside of any build.
outside() {
  build push -q "$1" "oci-archive:$work/$1.tar:$1" >&2
  composefs --repo "$work/repo" import -q --name "$1" "$work/$1.tar" >/dev/null
  echo "composefs.digest=v1-sha512-12:$(composefs --repo "$work/repo" oci compute-id --bootable "$1")"
}
# The stage that was mounted, built by itself: the same layers again.
build bud --isolation chroot --target base -t base "$work/context" >&2
base=$(outside base)
final=$(outside unified)
echo "inside the build, base as a directory: $inside"
echo "outside, base from its layers:         $base"
echo "outside, final image from its layers:  $final"
[ "$inside" = "$base" ] && [ "$inside" = "$final" ] && echo same
