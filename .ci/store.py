#!/usr/bin/env python3
"""Runs the table's contract tests, tests/it/store.rs, against DynamoDB as an emulator plays it: ministack, or with the argument
`moto` that of moto.

`cargo test` runs them against the embedded engine. Three engines by different hands that agree are some evidence of what
DynamoDB does; none is DynamoDB. moto locks nothing while it works on a transaction, so here it takes one call after the other.
"""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from emulator_tools import client, emulator, moto

ROOT = Path(__file__).resolve().parent.parent
ENGINES = {"ministack": emulator, "moto": moto}


def main():
    engine = sys.argv[1] if len(sys.argv) > 1 else "ministack"
    with ENGINES[engine]() as endpoint:
        command = ["cargo", "test", "--quiet", "--package", "tests", "--test", "it", "store::"]
        tested = subprocess.run(command, cwd=ROOT, env=os.environ | {"DYNAMODB_ENDPOINT": endpoint})
        tables = client("dynamodb", endpoint).list_tables()["TableNames"]
    print(f"the tests made {len(tables)} tables in {engine}")
    sys.exit(tested.returncode if tables else f"the tests did not use {engine}")


if __name__ == "__main__":
    main()
