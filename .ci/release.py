#!/usr/bin/env python3
"""Makes the files of a release in target/release-files, the same from the same commit and toolchain (.ci/reproducible.sh):

    livechat-hitl-VERSION-PROCESSOR.zip      a template and the packages of both functions: what a stack is deployed from
    hitl-VERSION-linux-PROCESSOR.tar.gz      the command, linked statically, with its manual pages and completions
    NOTES.md, SHA256SUMS

`.ci/release.py` makes them for this machine's processor, and for the other where rustc's target and GCC's cross compiler are installed
(Debian: gcc-aarch64-linux-gnu); `.ci/release.py x86_64 arm64` fails where they are not. Needs cargo-lambda on the path.
"""

import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from release_tools import ARCHITECTURE, ROOT, TARGETS, VERSION, archive, can_be_built, checksums, cross_compiler, stack_files

FOLDER = ROOT / "target/release-files"
COMMAND = ROOT / "target/command"
SHELLS = {"bash": "hitl.bash", "zsh": "_hitl", "fish": "hitl.fish"}
LICENCES = ("LICENSE-MIT", "LICENSE-APACHE")


def told(*command):
    """What a command prints."""
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def commit():
    """What the binaries call their commit; nothing outside a repository."""
    if "HITL_COMMIT" in os.environ:
        return os.environ["HITL_COMMIT"]
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()


def build_functions(processor):
    """Both packages, checked as those that are deployed."""
    subprocess.run([ROOT / ".ci/functions.sh", processor], check=True)
    subprocess.run([sys.executable, ROOT / ".ci/package.py", "--for", processor], check=True)


def build_command(processor):
    """The command; in a folder of its own, since cargo-lambda compiles for certain processors and each build would undo the other's."""
    cargo_home = os.environ.get("CARGO_HOME", Path.home() / ".cargo")
    remapped = [f"--remap-path-prefix={ROOT}=.", f"--remap-path-prefix={cargo_home}=cargo"]
    options = ["--config", f"build.rustflags = {remapped}"]
    if processor != ARCHITECTURE:
        options += ["--config", f"target.{TARGETS[processor]}.linker = '{cross_compiler(processor)}'"]
    environment = {name: value for name, value in os.environ.items() if "RUSTFLAGS" not in name}
    # Only the last step links, and links everything statically.
    command = ["cargo", "rustc", "--release", "--locked", "--package", "hitl", "--bin", "hitl"]
    command += ["--target-dir", COMMAND, "--target", TARGETS[processor], *options, "--", "-C", "target-feature=+crt-static"]
    subprocess.run(command, cwd=ROOT, check=True, env=environment | {"HITL_COMMIT": commit()})
    binary = COMMAND / TARGETS[processor] / "release/hitl"
    headers = told("readelf", "--wide", "--program-headers", "--dynamic", binary).decode()
    if "INTERP" in headers or "(NEEDED)" in headers:
        sys.exit(f"{binary} is not static")
    return binary


def command_texts(hitl):
    """Manual pages and completions, as the command prints them."""
    texts = {f"completions/{file}": told(hitl, "completions", shell) for shell, file in SHELLS.items()}
    pages = re.split(r'(?m)^\.\\" page ', told(hitl, "man").decode())
    for page in pages[1:]:
        name, text = page.split("\n", 1)
        texts[f"man/{name}.1"] = text.encode()
    return texts | {name: (ROOT / name).read_bytes() for name in LICENCES}


def tarball(files):
    """A compressed archive that is the same whenever it is made; what has no extension in its name can be run."""
    written = io.BytesIO()
    with gzip.GzipFile(fileobj=written, mode="wb", compresslevel=9, mtime=0, filename="") as compressed:
        with tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o755 if name == "hitl" else 0o644
                tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def notes():
    """What the changelog says of this version, or of what is not released yet."""
    sections = re.split(r"(?m)^## ", (ROOT / "CHANGELOG.md").read_text())[1:]
    named = {section.split("\n", 1)[0].split(" ")[0].strip("[]"): section for section in sections}
    text = named.get(VERSION) or named.get("Unreleased")
    if not text:
        sys.exit(f"CHANGELOG.md says nothing about {VERSION}")
    return f"# livechat-hitl {VERSION}\n{text.split(chr(10), 1)[1]}".encode()


def assembled(commands):
    """Every file of a release by its name; `commands` has each processor's binary of the command, this machine's first."""
    # The machine's own command prints the manual of both.
    files, texts = {"NOTES.md": notes()}, command_texts(next(iter(commands.values())))
    for processor, hitl in commands.items():
        files[f"livechat-hitl-{VERSION}-{processor}.zip"] = archive(stack_files(processor))
        files[f"hitl-{VERSION}-linux-{processor}.tar.gz"] = tarball({"hitl": hitl.read_bytes()} | texts)
    return files | {"SHA256SUMS": checksums(files)}


def differing(files, commands):
    """The files that are other ones when they are assembled later, in another time zone, and by somebody whose files nobody else may read."""
    # A zip's times have two seconds.
    time.sleep(3)
    os.environ["TZ"] = "Pacific/Kiritimati"
    time.tzset()
    mask = os.umask(0o077)
    again = assembled(commands)
    os.umask(mask)
    return [name for name in files | again if files.get(name) != again.get(name)]


def main():
    wanted = sys.argv[1:] or [processor for processor in TARGETS if can_be_built(processor)]
    processors = [ARCHITECTURE] + [processor for processor in wanted if processor != ARCHITECTURE]
    commands = {}
    for processor in processors:
        if processor not in TARGETS or not can_be_built(processor):
            sys.exit(f"nothing can be built for {processor}: rustc's target or {cross_compiler(processor)} is missing")
        build_functions(processor)
        commands[processor] = build_command(processor)
    files = assembled(commands)
    if others := differing(files, commands):
        sys.exit(f"assembled once more, these have other bytes: {', '.join(others)}")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for name, content in files.items():
        (FOLDER / name).write_bytes(content)
        print(f"{len(content):>12,}  {name}")
    missing = [processor for processor in TARGETS if not can_be_built(processor)]
    if missing:
        print(f"cannot be made here: {', '.join(missing)} (rustc's target or a cross compiler is missing)")


if __name__ == "__main__":
    main()
