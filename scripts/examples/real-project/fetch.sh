#!/bin/sh
# Puts zlib's source beside this file, as Debian 13 has it. apt checks the archive's signature and the files'
# digests, with a configuration of its own: the machine's is neither read nor changed, and nobody needs root.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e $keyring ] || { echo "fetch: install the package debian-archive-keyring" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/source"
: >"$work/status"
mirror=${VMATRIX_DEBIAN_MIRROR:-http://deb.debian.org/debian}
echo "deb-src [signed-by=$keyring] $mirror trixie main" >"$work/sources.list"
cat >"$work/apt.conf" <<END
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::sourcelist "$work/sources.list";
Dir::State "$work/state";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
END
export APT_CONFIG="$work/apt.conf"

apt-get update -qq
(cd "$work/source" && apt-get source -qq --tar-only zlib)
mkdir "$work/tree"
tar -C "$work/tree" --strip-components 1 -xf "$work"/source/zlib_*.orig.tar.*
[ -e "$work/tree/configure" ] || { echo "fetch: this is not what it was" >&2; exit 1; }
rm -rf "$here/zlib"
cp -R "$work/tree" "$here/zlib"
basename "$work"/source/zlib_*.orig.tar.*
