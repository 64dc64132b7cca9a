#!/usr/bin/env bash
# What must hold before a release is made, after .ci/run: its files are deployed by the released command on a root that has nothing
# else, and the version before works beside this one. `bash .ci/run_release.sh`, from any folder.
#
# Builds the command of a release and the functions of two versions, which takes longer than the gate has time for. Needs what .ci/run has
# installed in target/ci.
set -euo pipefail
exec 2>&1
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

PATH="$PWD/target/ci/lambda/bin:$PATH"
.ci/release.py "$(uname -m | sed s/aarch64/arm64/)"
target/ci/emulator/bin/python .ci/deployed.py hitl
.ci/beside.sh
