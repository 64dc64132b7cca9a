"""The compiled functions, packed as they are deployed."""

import io
import os
import zipfile
from pathlib import Path

RELEASE = Path(__file__).resolve().parent.parent / "target/release"

# The template's name of each function, and its binary.
FUNCTIONS = {"Actions": "actions", "Webhooks": "webhooks"}

ARCHITECTURE = "arm64" if os.uname().machine == "aarch64" else "x86_64"


def package(binary):
    """A zip as cargo-lambda makes it: one executable named bootstrap."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        zipped.writestr(entry, (RELEASE / binary).read_bytes())
    return archive.getvalue()
