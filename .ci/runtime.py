#!/usr/bin/env python3
"""Runs the bootstraps of the packages under AWS's own Runtime Interface Emulator.

The emulator is a program inside the package aws-sam-cli, which needs 342 MB when it is installed; only this one file (9 MB) is
taken out of it. The sandbox stands in for Secrets Manager, DynamoDB and the vendors. The emulator also listens on
127.0.0.1:9001, whatever it is told, so one function runs at a time.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from io import BytesIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from release_tools import ARCHITECTURE, package
from sandbox_tools import serving

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / ".ci/requirements-runtime.txt"
FOLDER = ROOT / "target/ci/runtime"
EMULATOR = FOLDER / "aws-lambda-rie"
EMULATORS_OWN_PORT = 9001


def fetch_emulator():
    """Takes the emulator out of its package, unless it is there."""
    stamp = FOLDER / "requirements.txt"
    if EMULATOR.exists() and stamp.exists() and stamp.read_bytes() == REQUIREMENTS.read_bytes():
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run(pip + ["--dest", FOLDER, "--requirement", REQUIREMENTS], check=True)
    [wheel] = FOLDER.glob("*.whl")
    with zipfile.ZipFile(wheel) as zipped:
        EMULATOR.write_bytes(zipped.read(f"samcli/local/rapid/aws-lambda-rie-{ARCHITECTURE}"))
    EMULATOR.chmod(0o755)
    wheel.unlink()
    shutil.copy(REQUIREMENTS, stamp)


def listens(port):
    """Whether somebody listens there."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(binary, environment):
    """The package's bootstrap under the emulator; gives what invokes it, and where it logs."""
    if listens(EMULATORS_OWN_PORT):
        sys.exit(f"somebody listens on port {EMULATORS_OWN_PORT}, which the emulator needs")
    folder = FOLDER / binary
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(BytesIO(package(binary))) as zipped:
        zipped.extractall(folder)
    (folder / "bootstrap").chmod(0o755)
    port = free_port()
    command = [EMULATOR, "--runtime-interface-emulator-address", f"127.0.0.1:{port}", folder / "bootstrap"]
    keys = {"AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox", "AWS_REGION": "us-east-1"}
    log = FOLDER / f"{binary}.log"
    with open(log, "w") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment | keys | {"PATH": os.environ["PATH"]}, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 20
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the emulator does not start; see {log}")
            time.sleep(0.02)
        yield (lambda event: invoke(port, event)), log
    finally:
        process.terminate()
        process.wait()


def invoke(port, event):
    """What the function answers, and how many milliseconds that took."""
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    begun = time.monotonic()
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(event).encode()), timeout=60) as answer:
        return json.load(answer), 1_000 * (time.monotonic() - begun)


def request(method, path, body="", headers=()):
    """API Gateway's event for a request, payload format 2.0."""
    host = "api.execute-api.us-east-1.amazonaws.com"
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "gate"}
    return {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": host, "content-type": "application/json"} | dict(headers),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": host,
            "domainPrefix": "api",
            "http": http,
            "requestId": "request",
            "routeKey": f"{method} {path}",
            "stage": "$default",
            "time": "11/May/2026:09:41:00 +0000",
            "timeEpoch": 1_778_492_460_000,
        },
        "body": body,
        "isBase64Encoded": False,
    }


def for_actions(sandbox):
    """What is asked of actions, with the status that is due."""
    botpress = sandbox["botpress"]
    path = "/botpress/" + botpress["integration_url"].rsplit("/", 1)[1]
    headers = {
        "x-bp-operation": "ping",
        "x-bot-id": botpress["bot_id"],
        "x-bot-user-id": "user",
        "x-integration-id": botpress["integration_id"],
        "x-integration-alias": botpress["alias"],
        "x-webhook-id": "webhook",
        "x-bp-configuration": "e30=",
    }
    said = {"accessToken": "wrong", "userId": "nobody", "botId": sandbox["botcopy"]["bot_id"]}
    return [
        ("health", request("GET", "/health"), 200),
        ("a wrong key", request("POST", "/botpress/wrong", headers=headers), 401),
        ("a ping with the right key", request("POST", path, headers=headers), 200),
        ("an unsigned call with the right key", request("POST", path, '{"data":{}}', headers), 401),
        ("Botcopy with a wrong token", request("POST", "/botcopy", json.dumps(said)), 401),
        ("an unknown path", request("GET", "/"), 404),
    ]


def for_webhooks(sandbox):
    """What is asked of webhooks, with the status that is due; the schedule's tick has none."""
    livechat = sandbox["livechat"]
    event = {
        "webhook_id": "webhook",
        "secret_key": livechat["webhook_secret"],
        "action": "chat_deactivated",
        "organization_id": livechat["organization_id"],
        "payload": {"chat_id": "nobodys", "thread_id": "nobodys"},
        "additional_data": {},
    }

    def webhook(**changes):
        return request("POST", "/livechat", json.dumps(event | changes))

    return [
        ("health", request("GET", "/health"), 200),
        ("a wrong secret", webhook(secret_key="wrong"), 401),
        ("another organization", webhook(organization_id="00000000-0000-4000-8000-000000000000"), 403),
        ("an event of a chat that is not ours", webhook(), 200),
        ("a tick of the schedule", {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}, None),
    ]


def check(binary, cases, sandbox):
    """Puts the cases to the function, says what it answers, and returns what is wrong."""
    wrong = []
    with running(binary, sandbox["environment"]) as (ask, log):
        for name, event, due in cases:
            answer, took = ask(event)
            is_right = answer.get("statusCode") == due if due else {"due", "done"} <= answer.keys()
            told = answer.get("statusCode", answer)
            print(f"  {binary:<8} {name:<38} {told!s:<22} {took:6.1f} ms")
            if not is_right:
                wrong.append(f"{binary}: {name} was answered with {json.dumps(answer)}, not with {due}")
    secrets = [sandbox["livechat"]["webhook_secret"], sandbox["livechat"]["agent_token"], sandbox["botpress"]["access_key"]]
    if any(secret in log.read_text() for secret in secrets):
        wrong.append(f"{binary}: a credential stands in its log")
    return wrong


def main():
    fetch_emulator()
    with serving() as sandbox:
        wrong = check("actions", for_actions(sandbox), sandbox)
        wrong += check("webhooks", for_webhooks(sandbox), sandbox)
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
