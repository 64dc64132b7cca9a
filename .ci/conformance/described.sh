#!/usr/bin/env bash
# Holds every body that we send to Botpress, runtime and admin API, against the vendor's own description of the API. Needs Rust, Node 20
# and npm.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/sandbox.sh"

# The description is one file; what its package depends on made it and is not needed to read it.
readonly package=@botpress/api@1.70.2
readonly integrity=sha512-K/4pdxmco0PyJV/IukWM8zD26OtFn0hcG51Gwv2LXJu0SzvTswr6myhzdspYuY3O1GR8+CLVbIXJT9eYul77pA==

readonly description=$tools/description bodies=$PWD/$tools/bodies.jsonl
if [[ $(cat "$description/installed" 2>/dev/null) != "$integrity" ]]; then
    rm -rf "$description" && mkdir -p "$description"
    (cd "$description" && npm pack --silent --ignore-scripts "$package" >/dev/null)
    if [[ sha512-$(openssl dgst -sha512 -binary "$description"/*.tgz | base64 -w0) != "$integrity" ]]; then
        echo "$package is not what it was" >&2
        exit 1
    fi
    tar -xzf "$description"/*.tgz -C "$description"
    echo "$integrity" >"$description/installed"
fi

# The flows that send every kind of body; the sandbox writes down what it is sent.
rm -f "$bodies"
SANDBOX_BOTPRESS_BODIES=$bodies cargo run --quiet --locked
SANDBOX_BOTPRESS_BODIES=$bodies cargo test --quiet --locked --workspace --test it -- \
    agent_messages:: agents:: connecting:: endings:: handoff:: media:: register:: rotating::
DESCRIPTION=$PWD/$description/package node "$here/described_checks.mjs" "$bodies"
