#!/usr/bin/env python3
"""Holds the routes of template.yaml, as SAM translates it, against what the functions serve.

The functions' dispatch is a list (`actions::ROUTES`, `webhooks::ROUTES`), which the sandbox shows: what is not in it is not
served. Each route has to lead to a function that serves it, and whatever a function serves has to be a route. Both serve
`GET /health`, of which the API can have one.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from release_tools import FUNCTIONS
from sandbox_tools import serving
from template_tools import routes, translated


def differences(routed, served):
    """What is on one side only, in words."""
    for (method, path), function in sorted(routed.items()):
        if (FUNCTIONS[function], method, path) not in served:
            yield f"template.yaml sends {method} {path} to {function}, which does not serve it"
    for binary, method, path in sorted(served):
        if (method, path) not in routed:
            yield f"{binary} serves {method} {path}, which template.yaml does not route"


def main():
    routed = routes(translated({}))
    with serving() as sandbox:
        served = {tuple(route) for route in sandbox["routes"]}
    if not routed or not served:
        sys.exit("there are no routes to compare")
    wrong = list(differences(routed, served))
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(routed)} routes of template.yaml are what the functions serve:")
    for (method, path), function in sorted(routed.items()):
        print(f"  {method:<4} {path:<16} {function}")


if __name__ == "__main__":
    main()
