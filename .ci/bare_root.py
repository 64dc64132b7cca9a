"""A bare system: a shell, the files of a release, the AWS CLI with the Python that it brings. No Rust, no compiler, no source."""

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "target/ci/bare"
RELEASE = ROOT / "target/release-files"
AWS = ROOT / "target/ci/aws"
PROGRAMS = ("bash", "gzip", "sha256sum", "tar", "unzip")


def make():
    """Makes the root; the release's files lie in its folder /home."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name in ("bin", "dev", "home", "tmp"):
        (FOLDER / name).mkdir(parents=True)
    for program in PROGRAMS:
        source = Path(shutil.which(program)).resolve()
        link(source, FOLDER / "bin" / program)
        take_libraries(source)
    for file in RELEASE.iterdir():
        shutil.copy2(file, FOLDER / "home")
    # The environment of the AWS CLI names both folders by their paths.
    base = Path(subprocess.run([AWS / "bin/python3", "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True).stdout.strip())
    library = next((base / "lib").glob("python3.*"))
    binary = (base / "bin" / library.name).resolve()
    take(AWS)
    take(library, without=("site-packages", "test", "__pycache__"))
    link(binary, inside(base / "bin" / "python3"))
    link(binary, inside(binary))
    for file in [binary, *library.glob("lib-dynload/*.so")]:
        take_libraries(file)


def resolve_at(address):
    """Lets the root's programs ask this name server."""
    (FOLDER / "etc").mkdir()
    (FOLDER / "etc/resolv.conf").write_text(f"nameserver {address}\n")


def inside(path):
    """Where a path of this system lies in the root."""
    return FOLDER / path.relative_to("/")


def link(source, target):
    """The same file, or a copy of it where it is on another disk."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def take(folder, without=("__pycache__",)):
    shutil.copytree(folder, inside(folder), symlinks=True, ignore=shutil.ignore_patterns(*without), copy_function=link)


def take_libraries(binary):
    """What the loader needs to start a program."""
    told = subprocess.run(["ldd", binary], capture_output=True, text=True).stdout
    for path in re.findall(r"(/\S+) \(0x", told):
        link(Path(path).resolve(), inside(Path(path)))


def run(command, **options):
    """Runs a command in the root's folder /home; PATH and whatever else it needs is up to the caller."""
    enter = 'mount --rbind /dev "$0/dev" && cd "$0/home" && exec "$@"'
    chroot = shutil.which("chroot", path=f"{os.environ['PATH']}:/usr/sbin")
    bash = ["/bin/bash", "-c", 'cd /home && exec "$@"', "bash"]
    entered = ["unshare", "--map-root-user", "--mount", shutil.which("bash"), "-c", enter, FOLDER, chroot, FOLDER, *bash]
    return subprocess.run([*entered, *command], **options)
