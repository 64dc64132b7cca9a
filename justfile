# The commands that people use, for `just` (https://just.systems). Each calls what the gate calls; `just` alone lists them.

_default:
    @just --list

# All that must hold before a change is merged
check:
    bash .ci/run

# Format, clippy and the documentation, with warnings denied
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items

# All tests
test:
    cargo test --workspace

# The demonstration in the terminal
run *options:
    cargo run -- {{options}}

# The console in the browser
serve *options:
    cargo run -- serve {{options}}

# The files of a release, for this machine's processor or those that are named
release *processors:
    .ci/release.py {{processors}}

# A stack from the files of a release: `just deploy acme`
deploy stack:
    hitl --stack {{stack}} deploy --from release
