#!/bin/sh
# Installs the command `wardian` for the current user:
#
#     curl -fsSL URL/install.sh | sh -s -- --from URL
#
#     --from URL|FOLDER   where the files of the release are (or the variable WARDIAN_FROM)
#     --to FOLDER         where to install: FOLDER/bin/wardian and FOLDER/share (default: ~/.local)
#     --uninstall         removes what was installed there
#
# The archive is checked against SHA256SUMS before anything is installed, and the command is replaced in one step, so that
# one that is running is not disturbed. Needs tar, gzip, sha256sum (or shasum), and curl or wget for a URL.
set -eu

version='@VERSION@'
from=${WARDIAN_FROM:-} to=${HOME:-}/.local uninstall=

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
        --from) [ $# -gt 1 ] || fail "--from needs a URL or a folder"; from=$2; shift ;;
        --to) [ $# -gt 1 ] || fail "--to needs a folder"; to=$2; shift ;;
        --uninstall) uninstall=yes ;;
        *) fail "unknown option $1: there are --from, --to and --uninstall" ;;
    esac
    shift
done

files='bin/wardian share/bash-completion/completions/wardian share/zsh/site-functions/_wardian
    share/fish/vendor_completions.d/wardian.fish share/doc/wardian'
if [ -n "$uninstall" ]; then
    for file in $files; do rm -rf "${to:?}/$file"; done
    rm -f "$to"/share/man/man1/wardian.1.gz "$to"/share/man/man1/wardian-*.1.gz
    echo "wardian is removed from $to"
    exit 0
fi

[ -n "$from" ] || fail "say where the release is: --from URL, or --from FOLDER"
[ "$to" != /.local ] || fail "HOME is not set: say where to install, with --to FOLDER"
[ "$(uname -s)" = Linux ] || fail "there are builds for Linux only, not for $(uname -s): see docs/platforms.md"
case $(uname -m) in
    x86_64 | amd64) processor=x86_64 ;;
    aarch64 | arm64) processor=aarch64 ;;
    *) fail "there is no build for $(uname -m): \`cargo install wardian-cli\` may work" ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

get() {
    case $from in
        http://* | https://*)
            if command -v curl >/dev/null; then
                curl -fsSL --retry 2 -o "$work/$1" "$from/$1"
            elif command -v wget >/dev/null; then
                wget -q -O "$work/$1" "$from/$1"
            else
                fail "there is neither curl nor wget"
            fi ;;
        *) cp "$from/$1" "$work/$1" ;;
    esac || fail "cannot get $1 from $from"
}

name=wardian-$version-$processor-linux
get SHA256SUMS
get "$name.tar.gz"
wanted=$(awk -v file="$name.tar.gz" '$2 == file || $2 == "*" file { print $1 }' "$work/SHA256SUMS")
[ -n "$wanted" ] || fail "SHA256SUMS does not name $name.tar.gz"
if command -v sha256sum >/dev/null; then
    found=$(sha256sum "$work/$name.tar.gz")
else
    found=$(shasum -a 256 "$work/$name.tar.gz")
fi
[ "${found%% *}" = "$wanted" ] || fail "$name.tar.gz is not what SHA256SUMS says: damaged, or changed by somebody"

tar -C "$work" -xzf "$work/$name.tar.gz"
"$work/$name/bin/wardian" --version >/dev/null || fail "the command does not run on this machine"
mkdir -p "$to/bin" || fail "cannot write to $to"
cp "$work/$name/bin/wardian" "$to/bin/.wardian.$$" && mv -f "$to/bin/.wardian.$$" "$to/bin/wardian" \
    || { rm -f "$to/bin/.wardian.$$"; fail "cannot write to $to/bin"; }
cp -R "$work/$name/share" "$to/" || fail "cannot write to $to/share"

echo "$("$to/bin/wardian" --version) is installed as $to/bin/wardian"
case :${PATH:-}: in
    *:"$to/bin":*) ;;
    *) echo "$to/bin is not in PATH" ;;
esac
