#!/usr/bin/env bash
# Builds both functions with cargo-lambda, for this machine's processor or for the one that is named, x86_64 or arm64. Leaves the
# packages target/lambda/PROCESSOR/{actions,webhooks}/bootstrap.zip and the binaries
# target/*-unknown-linux-gnu/release/{actions,webhooks}. Needs cargo-lambda on the path, and for the other processor rustc's target and
# GCC's cross compiler.
#
# cargo-lambda links with zig unless told otherwise; here the C compiler does, and .ci/package.py checks what zig would be there for.
# The folders of this build do not get into the binaries, so that it can be repeated elsewhere (.ci/reproducible.sh).
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# Cargo would prefer these to what follows.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

machine=$(uname -m | sed 's/aarch64/arm64/')
processor=${1:-$machine}
export HITL_COMMIT=${HITL_COMMIT-$(git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null || true)}
remapped="'--remap-path-prefix=$PWD=.', '--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo'"
case $processor in
    x86_64) triple=x86_64-linux-gnu option=--x86-64 ;;
    arm64) triple=aarch64-linux-gnu option=--arm64 ;;
    *) echo "there are no packages for $processor" >&2 && exit 2 ;;
esac
other=()
if [[ $processor != "$machine" ]]; then
    other=("$option" --config "target.${triple/-/-unknown-}.linker = '$triple-gcc'")
fi
cargo lambda build --release --locked --compiler cargo --output-format zip --package actions --package webhooks \
    --lambda-dir "target/lambda/$processor" --config "build.rustflags = [$remapped]" "${other[@]}"
