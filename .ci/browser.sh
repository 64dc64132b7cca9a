#!/usr/bin/env bash
# Plays the stories of the console in a real browser: `.ci/browser.sh`. `.ci/browser.sh pictures` also makes the pictures of the README anew,
# `.ci/browser.sh WORD` plays those whose name contains the word.
#
# Needs Node 20 with npm. Takes the machine's Chromium ($CHROMIUM, or one in the path), else the one that an npm package brings along,
# which needs little but glibc on x86_64. Where that one cannot run either, it says so and plays nothing; else no story is skipped.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
readonly stories=.ci/browser_stories tools=target/ci/browser
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1

# installed <folder of a package.json> <where to>: its packages, made anew when the lock changes.
installed() {
    mkdir -p "$2"
    if ! cmp -s "$1/package-lock.json" "$2/package-lock.json" || [[ ! -d $2/node_modules ]]; then
        cp "$1/package.json" "$1/package-lock.json" "$2/"
        npm ci --silent --no-audit --no-fund --prefix "$2"
    fi
}

find_chromium() {
    local name
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name"; then return; fi
    done
    if [[ $(uname -sm) != "Linux x86_64" ]]; then
        echo "there is no Chromium in the path; install one (Debian: apt-get install chromium), or name it in CHROMIUM" >&2
        return 1
    fi
    installed "$stories/chromium" "$tools/chromium" >&2
    cp "$stories/chromium/unpack.mjs" "$tools/chromium/"
    # It unpacks itself, and the libraries that a bare machine lacks, where temporary files go.
    mkdir -p "$tools/chromium/unpacked"
    TMPDIR=$PWD/$tools/chromium/unpacked AWS_LAMBDA_JS_RUNTIME=nodejs22.x node "$tools/chromium/unpack.mjs"
}

CHROMIUM=${CHROMIUM:-$(find_chromium)}
export CHROMIUM
if [[ -d $tools/chromium/unpacked/al2023/lib && $CHROMIUM == *"$tools"* ]]; then
    export LD_LIBRARY_PATH=$PWD/$tools/chromium/unpacked/al2023/lib
fi
if ! said=$("$CHROMIUM" --version 2>&1); then
    printf 'NOT PLAYED: %s does not run on this machine: %s\n' "$CHROMIUM" "$said"
    exit 0
fi
installed "$stories" "$tools"
cp "$stories/stories.mjs" "$tools/"
cargo build --quiet --locked --package sandbox
node "$tools/stories.mjs" target/debug/sandbox "${1:-}"
