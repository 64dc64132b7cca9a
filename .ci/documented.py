#!/usr/bin/env python3
"""Runs each command that a block of README, CONTRIBUTING or docs gives and that can run here, and fails on one of which nothing is known.

A command runs here, or in another step of .ci/run or .ci/run_release.sh, which has to be there, or it cannot run here for a reason that
stands below.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted((ROOT / "docs").glob("*.md"))

# What runs here. The profile that makes long scenarios fast is left out: these are short, and its build takes longer than they do.
HERE = ("cargo run -p tests --profile scenarios -- list", "cargo run -p tests --profile scenarios -- fail-points")

# What begins like this runs in the step of .ci/run or .ci/run_release.sh that contains these words.
ELSEWHERE = {
    "cargo run": "cargo run\n",
    "cargo test": "cargo test --workspace",
    "bash .ci/run": "step",
    "cargo build --release -p actions -p webhooks": ".ci/functions.sh",
    "sha256sum": ".ci/deployed.py hitl",
    "tar": ".ci/deployed.py hitl",
    "unzip": ".ci/deployed.py hitl",
    "hitl --stack NAME deploy": ".ci/deployed.py hitl",
    "hitl --stack NAME": ".ci/deployed.py hitl",
    "aws s3 mb": ".ci/deployed.py release",
    "aws cloudformation": ".ci/deployed.py release",
}

# What begins like this cannot run here.
NOWHERE = {
    "sam ": "needs SAM and an account; .ci/template.py translates and checks the template as SAM does",
    "cargo install --path cli": "installs on this machine; .ci/release.py builds the same command",
    "cargo build --release -p actions --example": "minutes of building for a measurement",
    "cargo bench": "a measurement",
    "cargo run -p tests --profile scenarios": "minutes to hours; the scenarios are played small by the tests",
    "cargo test -p hitl --profile scenarios": "a measurement",
    "hitl --sandbox": "needs a sandbox that somebody has started; the command's tests play the same against one of their own",
    "curl http://127.0.0.1:": "the same; the console's tests call its routes",
    "curl -X POST http://127.0.0.1:": "the same; the console's tests call its routes",
    "HITL_BINARIES=": "the gate runs the same flows with the binaries of .ci/functions.sh",
    "tests/fuzz/run": "needs a C++ compiler; a minute for each target",
}


def commands():
    """Each command of a shell block with its document, without comments; continued lines are one."""
    for document in DOCUMENTS:
        for block in re.findall(r"```sh\n(.*?)```", document.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.sub(r"\s+# .*", "", line).strip()
                if command:
                    yield document.relative_to(ROOT), command


def longest(command, known):
    """The longest beginning of the command that is known."""
    return max((start for start in known if command.startswith(start)), key=len, default="")


def run(command):
    """Runs what is documented, and fails where it fails or says nothing."""
    ran = subprocess.run(command.replace(" --profile scenarios", "").split(), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if ran.returncode or not ran.stdout.strip():
        sys.exit(f"{command}: status {ran.returncode}\n{ran.stdout}")


def main():
    gate = "".join((ROOT / name).read_text() for name in (".ci/run", ".ci/run_release.sh"))
    unknown, seen = [], set()
    for document, command in commands():
        elsewhere, nowhere = longest(command, ELSEWHERE), longest(command, NOWHERE)
        if command in HERE:
            if command not in seen:
                run(command)
            how = "runs here"
        elif len(elsewhere) > len(nowhere):
            step = ELSEWHERE[elsewhere]
            how = f"runs in the gate ({step.strip()})"
            if step not in gate:
                unknown.append(f"{document}: {command}: the gate has no step with {step!r}")
        elif nowhere:
            how = f"cannot run here: {NOWHERE[nowhere]}"
        else:
            unknown.append(f"{document}: {command}: nothing is known of it")
            continue
        seen.add(command)
        print(f"{str(document):<22} {command[:70]:<72} {how}")
    missing = set(HERE) - seen
    if unknown or missing or len(seen) < 20:
        sys.exit("\n".join([*unknown, *(f"no document has: {command}" for command in missing), f"{len(seen)} commands"]))


if __name__ == "__main__":
    main()
