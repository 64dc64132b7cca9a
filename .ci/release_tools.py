"""What a release consists of: the compiled functions' packages, and the files from which a stack is deployed."""

import hashlib
import io
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The template's name of each function, and its binary.
FUNCTIONS = {"Actions": "actions", "Webhooks": "webhooks"}

ARCHITECTURE = "arm64" if os.uname().machine == "aarch64" else "x86_64"

# Rust's name of each processor's system.
TARGETS = {"x86_64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}

VERSION = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]

# What goes beside the template: it names the first two.
TEXTS = ("README.md", "LICENSE-MIT", "LICENSE-APACHE")


def cross_compiler(processor):
    return f"{TARGETS[processor].replace('-unknown', '')}-gcc"


def can_be_built(processor):
    """Whether rustc and, for another processor than this machine's, GCC have what it takes."""
    told = subprocess.run(["rustc", "--print", "sysroot"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    has_library = Path(told.stdout.strip(), "lib/rustlib", TARGETS[processor], "lib").is_dir()
    return has_library and (processor == ARCHITECTURE or shutil.which(cross_compiler(processor)) is not None)


def package(binary, processor=ARCHITECTURE):
    """The zip with the function's bootstrap."""
    return (ROOT / "target/lambda" / processor / binary / "bootstrap.zip").read_bytes()


def stack_files(processor):
    """The contents of each file from which the AWS CLI or `hitl deploy` makes a stack, by name, with their checksums."""
    files = {"template.yaml": template(processor).encode()}
    for binary in FUNCTIONS.values():
        with zipfile.ZipFile(io.BytesIO(package(binary, processor))) as zipped:
            files[f"{binary}.zip"] = archive({"bootstrap": zipped.read("bootstrap")}, mode=0o755)
    files |= {name: (ROOT / name).read_bytes() for name in TEXTS}
    return files | {"SHA256SUMS": checksums(files)}


def template(processor):
    """template.yaml with the packages beside it in place of what SAM would build."""
    text = (ROOT / "template.yaml").read_text()
    text, count = re.subn(r"(?m)^    Metadata:\n(?:      .*\n)+(?=    Properties:)", "", text)
    assert count == len(FUNCTIONS), "each function says how SAM builds it"
    changes = {f"CodeUri: functions/{binary}\n": f"CodeUri: {binary}.zip\n" for binary in FUNCTIONS.values()}
    changes["Architectures: [arm64]\n"] = f"Architectures: [{processor}]\n"
    text = re.sub(r"(?m)\A(?:#.*\n)+", f"# livechat-hitl {VERSION} for {processor}: docs/deploy.md says how to deploy it.\n", text)
    text = re.sub(r"(?m)^ *# (?:The crate's folder|`sam build`|deploys for that).*\n", "", text)
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def archive(files, mode=0o644):
    """A zip that is the same whenever it is made."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, (0o100000 | mode) << 16
            zipped.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
    return written.getvalue()


def checksums(files):
    """As `sha256sum --check` reads them."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items())]
    return "".join(lines).encode()
