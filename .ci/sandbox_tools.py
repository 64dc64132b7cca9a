"""The sandbox, as a tool starts it."""

import contextlib
import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def serving():
    """A stack on free ports, and what it says of itself: `sandbox::serve::as_json`."""
    command = ["cargo", "run", "--quiet", "--", "serve", "--json"]
    ports = [f"--{name}=0" for name in ("gateway", "livechat", "botpress", "botcopy", "people")]
    with subprocess.Popen(command + ports, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
