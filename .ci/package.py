#!/usr/bin/env python3
"""Checks the packages that are deployed: what is in them, whether Lambda's system can start it, and their size.

`provided.al2023` is Amazon Linux 2023 with glibc 2.34; a symbol of a later version keeps a bootstrap from starting. The
versions are read with readelf, of the binutils that a C compiler brings.

Without arguments it checks the packages of .ci/functions.sh for this machine's processor, with `--for arm64` those for that one.
`.ci/package.py FILE…` checks others, which have to be for the processor that the template names: what `sam build` has made
(.aws-sam/build/Actions/bootstrap, a bare file) or zips.
"""

import io
import os
import re
import stat
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from release_tools import ARCHITECTURE, FUNCTIONS, package

GLIBC = (2, 34)
BUDGET_BYTES = 5_300_000
# The ELF header's names of the machines, and of what can be run.
MACHINES = {"x86_64": 62, "arm64": 183}
EXECUTABLE_TYPES = {2, 3}


def template_architecture():
    """The processor that template.yaml names for both functions."""
    template = (Path(__file__).resolve().parent.parent / "template.yaml").read_text()
    return re.search(r"^    Architectures: \[(\w+)\]$", template, re.MULTILINE)[1]


def bootstrap(archive):
    """The one file of the zip, and what is wrong with how it is packed; a bare ELF file is itself."""
    if archive[:4] == b"\x7fELF":
        return archive, []
    with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
        entries = zipped.infolist()
        names = [entry.filename for entry in entries]
        if names != ["bootstrap"]:
            return b"", [f"it holds {names}, not bootstrap alone"]
        mode = stat.S_IMODE(entries[0].external_attr >> 16)
        return zipped.read("bootstrap"), [] if mode == 0o755 else [f"bootstrap's mode is {mode:o}, not 755"]


def machine_faults(binary, architecture):
    """What keeps the file from being run on the processor that it is for."""
    if binary[:4] != b"\x7fELF":
        return ["bootstrap is not an ELF file"]
    kind, machine = struct.unpack_from("<HH", binary, 16)
    faults = []
    if kind not in EXECUTABLE_TYPES:
        faults.append("bootstrap is not executable")
    if machine != MACHINES[architecture]:
        faults.append(f"bootstrap is for machine {machine}, not for {architecture}")
    return faults


def newest_glibc(binary):
    """The highest version of glibc that the file asks for; (0,) if it asks for none."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(binary)
        file.flush()
        command = ["readelf", "--version-info", "--wide", file.name]
        english = os.environ | {"LC_ALL": "C"}
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=english)
    versions = re.findall(r"\bGLIBC_([0-9.]+)", told.stdout)
    return max((tuple(map(int, version.split("."))) for version in versions), default=(0,))


def faults(name, archive, architecture):
    """Says what the package is like, and returns what is wrong with it."""
    binary, wrong = bootstrap(archive)
    wrong += machine_faults(binary, architecture) if binary else []
    glibc = newest_glibc(binary) if not wrong else None
    if glibc and glibc > GLIBC:
        wrong.append(f"it needs GLIBC_{'.'.join(map(str, glibc))}; Lambda has {'.'.join(map(str, GLIBC))}")
    if archive is not binary and len(archive) > BUDGET_BYTES:
        wrong.append(f"its zip has {len(archive):,} bytes, over the budget of {BUDGET_BYTES:,}")
    needs = f"GLIBC_{'.'.join(map(str, glibc))}" if glibc else "-"
    print(f"{name:<12} {len(archive):>10,} bytes zipped, {len(binary):>10,} bytes unpacked, {needs}")
    return [f"{name}: {fault}" for fault in wrong]


def main():
    match sys.argv[1:]:
        case [] | ["--for", _] as chosen:
            architecture = chosen[-1] if chosen else ARCHITECTURE
            packages = {binary: package(binary, architecture) for binary in FUNCTIONS.values()}
        case paths:
            architecture = template_architecture()
            packages = {path: Path(path).read_bytes() for path in paths}
    wrong = [fault for name, archive in packages.items() for fault in faults(name, archive, architecture)]
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
