"""The packages that cargo-lambda has made of the compiled functions, as they are deployed."""

import os
from pathlib import Path

PACKAGES = Path(__file__).resolve().parent.parent / "target/lambda"

# The template's name of each function, and its binary.
FUNCTIONS = {"Actions": "actions", "Webhooks": "webhooks"}

ARCHITECTURE = "arm64" if os.uname().machine == "aarch64" else "x86_64"


def package(binary):
    """The zip with the function's bootstrap."""
    return (PACKAGES / binary / "bootstrap.zip").read_bytes()
