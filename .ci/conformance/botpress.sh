#!/usr/bin/env bash
# Drives the Botpress simulator with Botpress's own client library. Needs Rust, Node 20 and npm.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/sandbox.sh"

if ! cmp -s "$here/package-lock.json" "$tools/node/package-lock.json.installed"; then
    mkdir -p "$tools/node"
    cp "$here/package.json" "$here/package-lock.json" "$tools/node/"
    (cd "$tools/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
    cp "$here/package-lock.json" "$tools/node/package-lock.json.installed"
fi

export TOOLS=$PWD/$tools/node/
with_sandbox node "$here/botpress_checks.mjs"
