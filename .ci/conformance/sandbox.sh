# Sourced by the scripts of this folder. Goes to the project's root, builds the sandbox, and defines what they share.
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck disable=SC2034 # used by those who source this
readonly here=.ci/conformance tools=target/ci/conformance
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 PIP_DISABLE_PIP_VERSION_CHECK=1

cargo build --quiet --locked --package sandbox

processes=()
trap 'kill "${processes[@]}" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# with_sandbox <command…>: runs the command while a sandbox is up, on free ports; SANDBOX is how to reach it, as JSON.
with_sandbox() {
    coproc sandbox { exec target/debug/sandbox serve --json --no-sweep --gateway 0 --livechat 0 --botpress 0 --people 0; }
    processes+=("$!")
    if ! read -r -t 60 SANDBOX <&"${sandbox[0]}"; then
        echo "the sandbox did not start" >&2
        return 1
    fi
    export SANDBOX
    # In the background, because bash would put a signal off until a command in the foreground has ended.
    timeout 120 "$@" &
    processes+=("$!")
    wait "$!"
}
