# Shared by the scripts: where the tree is, and how to run its tools. Sourced, not run.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
BUN_VERSION=1.4.5
BUN="$ROOT/.tools/bun-$BUN_VERSION/bun"
export PATH="$ROOT/.tools/bin:$PATH"
tool() { "$BUN" "$ROOT/node_modules/$1/bin/$1" "${@:2}"; }
say() { printf '%s\n' "$*" >&2; }
