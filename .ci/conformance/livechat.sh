#!/usr/bin/env bash
# Drives the LiveChat simulator with LiveChat's own SDK for Python. Needs Rust and Python 3.11.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/sandbox.sh"

if ! cmp -s "$here/requirements.txt" "$tools/python/requirements.txt"; then
    python3 -m venv --clear "$tools/python"
    "$tools/python/bin/pip" install --quiet --require-hashes --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$tools/python/"
fi

with_sandbox "$tools/python/bin/python" "$here/livechat_checks.py"
