#!/usr/bin/env python3
"""Fails when an advisory is known against a package of Cargo.lock, in the version that stands there.

Asks OSV (https://osv.dev), which has RustSec's and GitHub's advisories, once for all packages. Where that cannot be reached nothing is
known and nothing fails: it says so. `--answer FILE` reads the answer from a file instead. The last question is about a version that has an
advisory: an answer without it shows that OSV did not understand the questions.
"""

import argparse
import json
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
URL = "https://api.osv.dev/v1/querybatch"
# One question holds up to so many packages.
MOST = 1_000

# A version that has an advisory.
CANARY = ("time", "0.1.42")

# Advisories that do not concern us: the id, and why not.
IGNORED = {}


def locked():
    """Name and version of every third-party package, for every platform."""
    packages = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    return [(package["name"], package["version"]) for package in packages if "source" in package]


def ask(packages):
    """OSV's answer: {"results":[{"vulns":[{"id"}]}]}, in the order of the packages; a package without advisories has {}."""
    queries = [{"package": {"purl": f"pkg:cargo/{name}"}, "version": version} for name, version in packages]
    body = json.dumps({"queries": queries}).encode()
    request = urllib.request.Request(URL, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def advisories(packages, answer):
    """One line for each package with advisories that are not ignored."""
    results = answer["results"]
    if len(results) != len(packages):
        sys.exit(f"{len(results)} answers to {len(packages)} questions")
    known = [
        (name, version, sorted({found["id"] for found in result.get("vulns", [])} - IGNORED.keys()))
        for (name, version), result in zip(packages, results)
    ]
    return [f"{name} {version}: {', '.join(ids)}" for name, version, ids in known if ids]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answer", metavar="FILE", type=Path, help="OSV's answer, instead of asking for it")
    arguments = parser.parse_args()
    packages = locked() + [CANARY]
    if not 0 < len(packages) <= MOST:
        sys.exit(f"there are {len(packages)} packages to ask for, and OSV takes {MOST}")
    try:
        answer = json.loads(arguments.answer.read_text()) if arguments.answer else ask(packages)
    except OSError as error:
        # OSV itself says 400 to what it cannot understand, and that would be ours to mend.
        if arguments.answer or isinstance(error, urllib.error.HTTPError) and error.code == 400:
            raise
        print(f"NOT CHECKED: OSV cannot be reached from here ({error}). Where it can: python3 .ci/advisories.py")
        return
    *wrong, canary = advisories(packages, answer) or [""]
    if not canary.startswith(" ".join(CANARY)):
        sys.exit(f"OSV names no advisory for {' '.join(CANARY)}: it did not understand the questions")
    print(f"{len(packages) - 1} third-party packages, {len(wrong)} with known advisories")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
