#!/usr/bin/env bash
# Makes the files of a release of the last commit in two temporary folders, each with a CARGO_HOME of its own, and fails unless both have the
# same bytes. Needs what .ci/run has installed; takes about as long as two release builds, so it is not part of the gate. Arguments are the
# processors, as .ci/release.py takes them.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

export PATH=$PWD/target/ci/lambda/bin:$PATH
registry=${CARGO_HOME:-$HOME/.cargo}/registry
folder=$(mktemp --directory)
trap 'rm -rf -- "$folder"' EXIT

HITL_COMMIT=$(git rev-parse --short=12 HEAD)
export HITL_COMMIT

# build <name> [<processor>…]: prints the checksums of all files.
build() {
    local source=$folder/$1/source
    mkdir -p "$source" "$folder/$1/cargo"
    # What has been downloaded is the same for both; the paths to it are not.
    ln -s "$registry" "$folder/$1/cargo/registry"
    git archive HEAD | tar --extract --directory "$source"
    CARGO_HOME=$folder/$1/cargo "$source/.ci/release.py" "${@:2}" >&2
    cat "$source/target/release-files/SHA256SUMS"
    rm -rf -- "${folder:?}/$1"
}

first=$(build one "$@")
second=$(build another/which/lies/deeper "$@")
printf '%s\n' "$first"
if [[ $first != "$second" ]]; then
    printf 'The second build differs:\n%s\n' "$second"
    exit 1
fi
echo "Both builds have the same bytes: commit $(git rev-parse --short HEAD), $(rustc --version)."
