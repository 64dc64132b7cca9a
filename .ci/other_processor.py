#!/usr/bin/env python3
"""Builds the functions' packages for the processor that this machine does not have, checks them, and plays the demonstration through them
under QEMU's emulator of that processor.

Needs cargo-lambda on the path, rustc's target, GCC's cross compiler and QEMU (Debian: gcc-aarch64-linux-gnu, qemu-user-static). Where one
of them is missing it says so, and nothing is built and nothing fails.
"""

import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from release_tools import ARCHITECTURE, FUNCTIONS, ROOT, TARGETS, can_be_built, cross_compiler, package

FOLDER = ROOT / "target/ci/other_processor"


def emulated(binary, processor, emulator):
    """A program that runs the package's bootstrap under the emulator, with the libraries of the cross compiler."""
    folder = FOLDER / f"{binary}.d"
    with zipfile.ZipFile(io.BytesIO(package(binary, processor))) as zipped:
        bootstrap = Path(zipped.extract("bootstrap", folder))
    bootstrap.chmod(0o755)
    libraries = f"/usr/{cross_compiler(processor).removesuffix('-gcc')}"
    program = FOLDER / binary
    program.write_text(f'#!/bin/sh\nexec "{emulator}" -L {libraries} "{bootstrap}" "$@"\n')
    program.chmod(0o755)


def main():
    processor = next(one for one in TARGETS if one != ARCHITECTURE)
    name = f"qemu-{TARGETS[processor].split('-')[0]}"
    emulator = shutil.which(f"{name}-static") or shutil.which(name)
    if not can_be_built(processor) or not emulator:
        print(f"nothing is built for {processor}: rustc's target, {cross_compiler(processor)} or {name} is missing")
        return
    subprocess.run([ROOT / ".ci/functions.sh", processor], check=True)
    subprocess.run([sys.executable, ROOT / ".ci/package.py", "--for", processor], check=True)
    for binary in FUNCTIONS.values():
        emulated(binary, processor, emulator)
    subprocess.run(["cargo", "run", "--quiet", "--", "--binaries", FOLDER], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
