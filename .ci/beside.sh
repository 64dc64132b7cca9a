#!/usr/bin/env bash
# The version before and the present one beside one another, as during a canary: the scenario `beside`, with two processes of either version
# for each function, on one table. `.ci/beside.sh [COMMIT]`, from any folder; .ci/previous names the commit of the version before.
#
# Builds both pairs of functions without the slow link of a release. The version before is built from its commit's files in target/ci/beside.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

commit=$(git rev-parse --short "${1:-$(cat .ci/previous)}")
present=$(git describe --always --dirty --abbrev=12 --exclude='*')
profile=${PROFILE:-scenarios}
folder=$profile
[[ $profile != dev ]] || folder=debug
before=target/ci/beside

rm -rf "$before/source"
mkdir -p "$before/source"
git archive "$commit" | tar --extract --directory "$before/source"
(cd "$before/source" && HITL_COMMIT=$commit CARGO_TARGET_DIR=../target \
    cargo build --locked --profile "$profile" --workspace --bin actions --bin webhooks)
HITL_COMMIT=$present cargo build --locked --profile "$profile" --workspace --bin actions --bin webhooks --bin tests

for scenario in beside botcopy-beside; do
    HITL_BINARIES=$before/target/$folder:target/$folder "target/$folder/tests" "$scenario" --seed 1 "${@:2}"
done
