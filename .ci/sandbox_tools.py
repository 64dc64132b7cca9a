"""The sandbox, as a tool starts it."""

import contextlib
import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def serving(*options, runtime=(), **ports):
    """A stack on free ports, or on those that are given, and what it says of itself: `sandbox::serve::as_json`."""
    command = ["cargo", "run", "--quiet", "--", *runtime, "serve", "--json", "--no-sweep", *options]
    command += [f"--{name}={ports.get(name, 0)}" for name in ("gateway", "livechat", "botpress", "botcopy", "people")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
