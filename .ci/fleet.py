#!/usr/bin/env python3
"""`hitl fleet` with ten stacks on an AWS emulator that lists three on a page: an upgrade that stops at a stack that may not be described, goes
on in the next run and leaves out a stack with an alarm; a doctor among whose stacks one is gone, one denied and one throttled; bills.

The functions are deployed and not called: .ci/deployed.py does that. Needs the packages of .ci/functions.sh, the command as `cargo test` leaves it
in target/debug, the AWS CLI in target/ci/aws and the tools of .ci/requirements-deployed.txt.
"""

import contextlib
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from emulator_tools import REGION, answering, client, emulator, wait_for_stack
from release_tools import ARCHITECTURE, FUNCTIONS, ROOT, package, stack_files
from template_tools import translated

BUCKET = "code"
TENANTS = [f"tenant-{number:02}" for number in range(1, 11)]
PARAMETERS = {
    "LiveChatClientId": "0123456789abcdef0123456789abcdef",
    "LiveChatOrganizationId": "11111111-2222-4333-8444-555555555555",
    "LiveChatRedirectUri": "https://tenant.example/livechat",
}
REFUSALS = {"denied": ("AccessDenied", "not authorized to perform: cloudformation:DescribeStacks"), "throttled": ("Throttling", "Rate exceeded")}


def create_stacks(endpoint):
    """The tenants, as an earlier release has left them, and a stack that is none."""
    storage, stacks = client("s3", endpoint), client("cloudformation", endpoint)
    storage.create_bucket(Bucket=BUCKET)
    template = translated(PARAMETERS)
    for name, binary in FUNCTIONS.items():
        storage.put_object(Bucket=BUCKET, Key=binary, Body=package(binary))
        template["Resources"][name]["Properties"] |= {"Code": {"S3Bucket": BUCKET, "S3Key": binary}, "Architectures": [ARCHITECTURE]}
    entries = [{"ParameterKey": key, "ParameterValue": value} for key, value in PARAMETERS.items()]
    for name in [*TENANTS, "other"]:
        tags = [{"Key": "CostCenter", "Value": name}] + ([] if name == "other" else [{"Key": "livechat-hitl", "Value": "tenant"}])
        stacks.create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Parameters=entries,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Tags=tags,
        )
    for name in [*TENANTS, "other"]:
        wait_for_stack(stacks, name, "CREATE")


@contextlib.contextmanager
def troubled(endpoint, troubles):
    """The emulator, but for calls about stacks with trouble; the stacks' own addresses lead here, where nothing serves them."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            about = urllib.parse.parse_qs(body.decode(errors="replace")).get("StackName", [""])[0]
            if self.path.startswith("/nothing"):
                return self.answer(404, {}, b"")
            if about in troubles:
                code, says = REFUSALS[troubles[about]]
                text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{says}</Message></Error></ErrorResponse>"
                return self.answer(400, {"content-type": "text/xml"}, text.encode())
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "accept-encoding")}
            request = urllib.request.Request(endpoint + self.path, body or None, headers, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    status, found, content = answer.status, dict(answer.headers), answer.read()
            except urllib.error.HTTPError as refusal:
                status, found, content = refusal.code, dict(refusal.headers), refusal.read()
            here = f"http://127.0.0.1:{self.server.server_port}/nothing".encode()
            content = re.sub(rb"https?://[a-z0-9]+\.execute-api\.[a-z0-9.:-]+", here, content)
            return self.answer(status, found, content)

        def answer(self, status, headers, content):
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = forward

        def log_message(self, *_):
            pass

    with answering(Handler) as address:
        yield address


class Operator:
    """An operator at the command line."""

    def __init__(self, endpoint):
        nowhere = "http://127.0.0.1:9"
        self.environment = os.environ | {
            "PATH": f"{ROOT / 'target/ci/aws/bin'}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            # The AWS CLI repeats what is throttled; here it would be in vain.
            "AWS_MAX_ATTEMPTS": "1",
            "LIVECHAT_API_URL": nowhere,
            "LIVECHAT_ACCOUNTS_URL": nowhere,
            "BOTPRESS_API_URL": nowhere,
            "BOTCOPY_API_URL": nowhere,
        }

    def fleet(self, *words):
        """Runs `hitl fleet`; its exit status, each tenant's row, and what it says of its progress."""
        command = [ROOT / "target/debug/hitl", "--json", "fleet", *words]
        began = time.monotonic()
        ran = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
        print(f"$ hitl fleet {' '.join(words)}: status {ran.returncode}, {time.monotonic() - began:.0f} s", flush=True)
        try:
            answer = json.loads(ran.stdout)
            rows = {row["stack"]: row for row in answer["tenants"]}
        except (ValueError, KeyError):
            sys.exit(f"no table: {ran.stdout}{ran.stderr}")
        for row in rows.values():
            print(f"    {row['state']:8} {row['stack']:10} {row['says'][:110]}", flush=True)
        return ran.returncode, rows, ran.stderr


def expect(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found}, not {expected}")


def states(rows):
    return {name: row["state"] for name, row in rows.items()}


def upgrade(endpoint, operator, troubles, release):
    """One build for all: it stops, goes on, leaves out who has an alarm, and has nothing to do in the end."""
    stacks, alarms, storage = client("cloudformation", endpoint), client("cloudwatch", endpoint), client("s3", endpoint)
    words = ("upgrade", "--from", str(release), "--watch", "0")
    troubles[TENANTS[0]] = "denied"
    status, rows, _ = operator.fleet(*words)
    expect("an upgrade whose first stack fails", (status, states(rows)), (2, {TENANTS[0]: "failed"} | {name: "skipped" for name in TENANTS[1:]}))
    troubles.clear()
    resources = stacks.describe_stack_resources(StackName=TENANTS[3])["StackResources"]
    alarm = next(one["PhysicalResourceId"] for one in resources if one["LogicalResourceId"] == "HealthAlarm")
    alarms.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="parked")
    status, rows, progress = operator.fleet(*words)
    expect("an upgrade that goes on", (status, states(rows)), (1, {name: "finding" if name == TENANTS[3] else "ok" for name in TENANTS}))
    if progress.count("putting the packages into the bucket") != 1 or "10 of 10 " not in progress:
        sys.exit(f"the packages go up once, and progress is told: {progress}")
    alarms.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="redriven")
    status, rows, _ = operator.fleet("--only", TENANTS[3], "--only", TENANTS[4], *words)
    says = {name: row["says"].split(":")[0] for name, row in rows.items()}
    expect("a third run", (status, says), (0, {TENANTS[3]: "upgraded", TENANTS[4]: "already has the release"}))
    for name in TENANTS:
        stack = stacks.describe_stacks(StackName=name)["Stacks"][0]
        tags = {tag["Key"]: tag["Value"] for tag in stack["Tags"]}
        expect(f"the tags of {name}", tags, {"CostCenter": name, "livechat-hitl": "tenant"})
        expect(f"the state of {name}", stack["StackStatus"], "UPDATE_COMPLETE")
    expect("the stack without the tag", stacks.describe_stacks(StackName="other")["Stacks"][0]["StackStatus"], "CREATE_COMPLETE")
    bucket = next(one["Name"] for one in storage.list_buckets()["Buckets"] if one["Name"] != BUCKET)
    # With the licence and the readme, which the template names as well.
    expect("files in the bucket", len(storage.list_objects_v2(Bucket=bucket)["Contents"]), len(FUNCTIONS) + 2)


def look(operator, troubles, folder):
    """What is wrong comes first, and keeps nobody from being looked at."""
    file = folder / "tenants.json"
    file.write_text(json.dumps({"tenants": [{"stack": name} for name in [*TENANTS, "gone"]]}))
    troubles |= {TENANTS[1]: "denied", TENANTS[2]: "throttled"}
    status, rows, _ = operator.fleet("--tenants", str(file), "doctor")
    failed = {name: row["says"] for name, row in rows.items() if row["state"] == "failed"}
    expect("a doctor with three stacks that cannot be seen", (status, list(failed)), (2, ["gone", TENANTS[1], TENANTS[2]]))
    if list(rows)[:3] != list(failed) or len(rows) != 11 or "AccessDenied" not in failed[TENANTS[1]] or "Throttling" not in failed[TENANTS[2]]:
        sys.exit(f"the table: {failed}")
    for name in TENANTS[3:]:
        checks = {check["id"]: check["verdict"] for check in rows[name]["answer"]["checks"]}
        expect(f"the table of {name} and its account", (checks["table"], checks["concurrency"]), ("ok", "ok"))
    troubles.clear()
    status, rows, _ = operator.fleet("cost")
    expect("bills", (status, set(states(rows)), set(states(rows).values())), (0, set(TENANTS), {"ok"}))


def main():
    with emulator(page=3) as endpoint, tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        create_stacks(endpoint)
        print(f"eleven stacks are up after {time.monotonic() - began:.0f} s", flush=True)
        release = Path(folder) / "release"
        release.mkdir()
        for name, content in stack_files(ARCHITECTURE).items():
            (release / name).write_bytes(content)
        troubles = {}
        with troubled(endpoint, troubles) as address:
            operator = Operator(address)
            upgrade(endpoint, operator, troubles, release)
            look(operator, troubles, Path(folder))


if __name__ == "__main__":
    main()
