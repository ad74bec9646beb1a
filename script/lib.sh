# Shared by the scripts: the root of the tree, and how to run its tools. Other scripts source it; it is never run alone.
set -euo pipefail
# Files that tests make must be readable for the users of their containers, and messages must not depend on the user's language.
umask 022
export LC_ALL=C.UTF-8
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
BUN_VERSION=1.4.5
# The hash of the npm package @oven/bun-linux-x64.
BUN_SHA512=2165fd0442e8187014b4ca2791e49a35a6705f3464fa80f0e8c93e1c115777728760804d06c20646ea4c64f7203680db2692eeea00098c8a0854f66db75689d6
BUN="$ROOT/.tools/bun-$BUN_VERSION/bun"
# After a plain `su`, the path does not contain the folders of the system's programs.
export PATH="$ROOT/.tools/bin:$PATH:/usr/sbin:/sbin"
tool() { "$BUN" "$ROOT/node_modules/$1/bin/$1" "${@:2}"; }
say() { printf '%s\n' "$*" >&2; }
