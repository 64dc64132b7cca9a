"""AWS emulators on this machine: ministack, which runs compiled bootstraps without containers, and moto, for its DynamoDB."""

import contextlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import boto3
from botocore.config import Config

LOG = Path(__file__).resolve().parent.parent / "target/ci/ministack.log"
REGION = "us-east-1"


def free_port():
    """A port without a listener."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def emulator(page=100):
    """Starts the emulator, waits until it answers, and gives its address. CloudFormation lists so many at a time."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        # By which the functions find the emulator again.
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "LOG_LEVEL": "WARNING",
        "CLOUDFORMATION_PAGE": str(page),
    }
    with running([sys.executable, "-c", SERVE_MINISTACK], environment, LOG, port):
        yield endpoint


# It knows neither CodeDeploy nor stored queries: they are noted and nothing comes of them, so that a stack comes up and no canary is
# tried. Aliases and versions are real.
SERVE_MINISTACK = """
import os
import uuid
from ministack.app import main
from ministack.services.cloudformation import helpers, provisioners

helpers._page.__defaults__ = (int(os.environ["CLOUDFORMATION_PAGE"]),)

def noted(logical_id, properties, stack_name):
    return f"{stack_name}-{logical_id}-{uuid.uuid4().hex[:8]}", {}

for kind in ("AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup", "AWS::Logs::QueryDefinition"):
    provisioners._RESOURCE_HANDLERS[kind] = {"create": noted, "delete": lambda *_: None}
main()
"""


# One call after the other, which moto's own command does not offer.
SERVE_MOTO = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
"""


@contextlib.contextmanager
def moto():
    """The same for moto."""
    port = free_port()
    with running([sys.executable, "-c", SERVE_MOTO, str(port)], os.environ, LOG.with_name("moto.log"), port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def running(command, environment, log_file, port):
    """Starts a server, waits until it listens, and ends it."""
    with open(log_file, "w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(port, process, log_file)
        yield
    finally:
        process.terminate()
        process.wait()


def wait_for(port, process, log_file):
    """Until the port has a listener."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the emulator does not start; see {log_file}")
            time.sleep(0.1)


@contextlib.contextmanager
def answering(handler):
    """Serves HTTP with this handler class on a free port, and gives the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def wait_for_stack(stacks, stack_name, what):
    """Until the stack has been created or deleted."""
    deadline = time.monotonic() + 120
    while True:
        try:
            stack = stacks.describe_stacks(StackName=stack_name)["Stacks"][0]
        except stacks.exceptions.ClientError:
            # A deleted stack is no longer known by its name.
            return
        if stack["StackStatus"] == f"{what}_COMPLETE":
            return
        if stack["StackStatus"] != f"{what}_IN_PROGRESS" or time.monotonic() > deadline:
            sys.exit(f"the stack {stack_name} is {stack['StackStatus']}: {stack.get('StackStatusReason')}")
        time.sleep(0.2)


def client(service, endpoint):
    """A client of the emulator, with credentials that are not checked."""
    settings = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2})
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, config=settings, **keys)
