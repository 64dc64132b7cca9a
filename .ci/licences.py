#!/usr/bin/env python3
"""Fails unless every third-party package may be used under a licence on the list below.

Covers everything in Cargo.lock, for every platform. The established tool is cargo-deny, but on a bare machine its current release
must first be compiled, which is slow, and the prebuilt packages are too old to know `Unicode-3.0`. Needs license-expression, which
.ci/requirements.txt installs.
"""

import json
import subprocess
import sys
from pathlib import Path

from license_expression import ExpressionError, get_spdx_licensing

ROOT = Path(__file__).resolve().parent.parent

SPDX = get_spdx_licensing()

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}


def is_allowed(expression):
    """Whether an SPDX expression can be met by allowed licences alone; `/` is the old spelling of OR.

    Raises ExpressionError when the expression is malformed or names a licence that SPDX does not know.
    """
    return is_met(SPDX.parse(expression.replace("/", " OR "), validate=True))


def is_met(node):
    if isinstance(node, SPDX.OR):
        return any(map(is_met, node.args))
    if isinstance(node, SPDX.AND):
        return all(map(is_met, node.args))
    return node.render() in ALLOWED


def offence(package):
    """What is wrong with the package's licence, or None."""
    expression = package["license"]
    if not expression:
        return "names no licence"
    try:
        return None if is_allowed(expression) else expression
    except ExpressionError as error:
        return f"{expression}: {error}"


def main():
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    ours = set(metadata["workspace_members"])
    packages = [package for package in metadata["packages"] if package["id"] not in ours]
    if not packages:
        sys.exit("cargo metadata lists no third-party package")

    offences = [(package, offence(package)) for package in packages]
    offences = [f"{package['name']} {package['version']}: {wrong}" for package, wrong in offences if wrong]
    print(f"{len(packages)} third-party packages, {len(offences)} without an allowed licence")
    if offences:
        sys.exit("\n".join(sorted(offences)))


if __name__ == "__main__":
    main()
