#!/usr/bin/env python3
"""Deploys template.yaml to an AWS emulator that runs the compiled bootstraps, and plays a whole handoff through them:
that of a Botpress bot, or with the argument `botcopy` that of a Botcopy bot. With the argument `release` it deploys the files of a
release instead, unchanged, by the commands that docs/deploy.md gives for the AWS CLI. With the argument `hitl` it goes from what .ci/release.py
has made to a doctor without findings, in a root that has a shell and the AWS CLI and nothing else. There AWS and the vendors have names, which
a name server of the test knows, unless the machine does not let it have port 53.

The emulator (ministack) provides CloudFormation, Lambda with versions and aliases, DynamoDB, Secrets Manager and S3. CodeDeploy it only
takes note of: what the canary is made of, .ci/template.py checks. It makes the HTTP API without its
routes, so calls go through the sandbox's gateway, which speaks API Gateway's format, and from there to the emulator's Lambda;
that the template's routes are the code's routes is a check of its own, .ci/routes.py. Then the stack is deleted, and a new one takes
its table and its secret over. Needs the packages of .ci/functions.sh
and the tools of .ci/requirements-deployed.txt.
"""

import contextlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bare_root
import name_server
from emulator_tools import REGION, answering, client, emulator, free_port, wait_for_stack
from release_tools import ARCHITECTURE, FUNCTIONS, VERSION, archive, package, stack_files
from sandbox_tools import serving
from template_tools import translated

ROOT = Path(__file__).resolve().parent.parent
BUCKET = "code"
STACK = "acme"
WAITING = "Sie sind Nummer {position} in der Warteschlange, noch etwa {minutes} Min."


def stack_parameters(account):
    """As an operator would answer `sam deploy --guided`."""
    return {
        "LiveChatClientId": account["client_id"],
        "LiveChatOrganizationId": account["organization_id"],
        "LiveChatRedirectUri": account["redirect_uri"],
        "LiveChatGroupId": "1",
        "SettleMs": "200",
        # What the demonstration's Botcopy bot resumes with, and what its German user sees.
        "BotcopyResumeEvent": "agent_left",
        "BotcopyTyping": "show",
        "Wording": json.dumps({"de": {"waiting": WAITING}}, ensure_ascii=False),
    }


def deploy(endpoint, stack_name, parameters, vendors):
    """Creates the stack, and returns the physical names of its resources."""
    storage = client("s3", endpoint)
    # The AWS CLI may have made it.
    if BUCKET not in [bucket["Name"] for bucket in storage.list_buckets()["Buckets"]]:
        storage.create_bucket(Bucket=BUCKET)
    for binary in FUNCTIONS.values():
        storage.put_object(Bucket=BUCKET, Key=binary, Body=package(binary))
    stacks = client("cloudformation", endpoint)
    stacks.create_stack(**stack(stack_name, parameters, vendors))
    wait_for_stack(stacks, stack_name, "CREATE")
    return resources(endpoint, stack_name)


def stack(stack_name, parameters, vendors):
    """What CloudFormation is given."""
    template = translated(parameters)
    for name, binary in FUNCTIONS.items():
        properties = template["Resources"][name]["Properties"]
        properties["Code"] = {"S3Bucket": BUCKET, "S3Key": binary}
        # The packages are for this machine; the template's are for the processor that it names.
        properties["Architectures"] = [ARCHITECTURE]
        properties["Environment"]["Variables"] |= vendors
    return {
        "StackName": stack_name,
        "TemplateBody": json.dumps(template),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }


def change_parameters(endpoint, parameters, vendors, names):
    """A parameter that changes, and a text with another revision, have to reach what the alias leads to: callers have no other way."""
    stacks, functions = client("cloudformation", endpoint), client("lambda", endpoint)
    for changes in ({"LogLevel": "debug"}, {"MediaHosts": "cdn.example", "Revision": "2"}):
        parameters = parameters | changes
        stacks.update_stack(**stack(STACK, parameters, vendors))
        wait_for_stack(stacks, STACK, "UPDATE")
    for name in FUNCTIONS:
        live = functions.get_function_configuration(FunctionName=names[name], Qualifier="live")
        variables = live["Environment"]["Variables"]
        if (variables["RUST_LOG"], variables.get("MEDIA_HOSTS")) != ("debug", "cdn.example"):
            sys.exit(f"callers of {name} still meet the parameters of before: {variables}")
    print("changed: other parameters have reached the versions that are called")


def resources(endpoint, stack_name):
    """The physical names of a stack's resources."""
    found = client("cloudformation", endpoint).describe_stack_resources(StackName=stack_name)["StackResources"]
    return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in found}


def deploy_release(endpoint, stack_name, parameters, vendors):
    """The same from the files of a release, as docs/deploy.md says; the functions are told of the simulators afterwards."""
    folder = ROOT / "target/ci/release"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / f"livechat-hitl-{VERSION}-{ARCHITECTURE}.zip").write_bytes(archive(stack_files(ARCHITECTURE)))
    required = {"CLIENT_ID": "ClientId", "ORGANIZATION_ID": "OrganizationId", "REDIRECT_URI": "RedirectUri"}
    values = {word: parameters[f"LiveChat{name}"] for word, name in required.items()}
    # What the demonstration needs beside them.
    others = [f"{key}={value}" for key, value in parameters.items() if value not in values.values()]
    values |= {"BUCKET": BUCKET, "NAME": stack_name, f"{VERSION}-arm64": f"{VERSION}-{ARCHITECTURE}"}
    commands = documented("With the AWS CLI", values) + ' "$@"'
    environment = os.environ | cli_environment(endpoint)
    subprocess.run(["bash", "-euxc", commands, "deploy", *others], check=True, cwd=folder, env=environment)
    names = resources(endpoint, stack_name)
    point_to(endpoint, names, vendors)
    return names


def cli_environment(endpoint):
    """By which the AWS CLI finds the emulator, whatever the machine has configured."""
    return {
        "PATH": f"{ROOT / 'target/ci/aws/bin'}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


def deploy_by_hitl(endpoint, vendors):
    """From the files of a release to a doctor without findings, as a tenant goes; the gateway leads to the emulator's functions."""
    bare_root.make()
    processors = {f"{VERSION}-arm64": f"{VERSION}-{ARCHITECTURE}", "linux-x86_64": f"linux-{ARCHITECTURE}"}
    commands = documented("With `hitl deploy`", processors).splitlines()
    # The last one asks questions: it is typed below.
    shell = "\n".join(commands[:-1])
    assert commands[-1] == "hitl --stack NAME deploy --from release", commands
    bare_root.run(["bash", "-euxc", shell], check=True, env={"PATH": "/bin"})
    with functions_by_role(endpoint, vendors) as by_role:
        ports = {name: int(vendors[f"{name.upper()}_API_URL"].rsplit(":", 1)[1]) for name in ("livechat", "botpress", "botcopy")}
        deployed = {"endpoint": by_role, "actions": "Actions", "webhooks": "Webhooks", "secret": "-"}
        deployed |= {f"{name}_port": port for name, port in ports.items()}
        with serving("--unconnected", runtime=("--deployed", json.dumps(deployed)), **ports) as sandbox:
            go_from_files_to_a_doctor(endpoint, sandbox)


def documented(heading, values):
    """The commands below a heading of docs/deploy.md, with values in place of some words."""
    guide = (ROOT / "docs/deploy.md").read_text().split(f"## {heading}\n", 1)[1]
    commands = re.search(r"```sh\n(.*?)```", guide, re.DOTALL)[1].rstrip()
    for word, value in values.items():
        commands, count = re.subn(rf"\b{re.escape(word)}\b", value, commands)
        assert count, f"docs/deploy.md does not name {word}"
    return commands


def go_from_files_to_a_doctor(endpoint, sandbox):
    """By names, where a name server can be had; each name has to be asked for."""
    try:
        with name_server.serving() as asked:
            bare_root.resolve_at(name_server.ADDRESS[0])
            names = named(endpoint, sandbox["environment"])
            go(endpoint, sandbox, names)
            missing = {urllib.parse.urlsplit(url).hostname for url in names.values()} - asked
            if missing:
                sys.exit(f"nobody has asked for {missing}: only for {asked}")
            print("asked for by name:", ", ".join(sorted(asked)))
    except name_server.Unavailable as reason:
        print(f"NOT TRIED BY NAME: {reason}")
        go(endpoint, sandbox, {})


def named(endpoint, own):
    """AWS and the vendors by name. What the functions call back, and S3, whose client would put the bucket before the name, keep their addresses."""
    urls = {name: own[name] for name in ("LIVECHAT_API_URL", "LIVECHAT_ACCOUNTS_URL", "BOTPRESS_API_URL")}
    services = ("CLOUDFORMATION", "DYNAMODB", "SECRETS_MANAGER", "LAMBDA", "STS")
    urls |= {f"AWS_ENDPOINT_URL_{service}": endpoint for service in services}
    return {name: url.replace("127.0.0.1", host_name(name)) for name, url in urls.items()}


def host_name(variable):
    """LIVECHAT_API_URL is at livechat-api.hitl.test, AWS_ENDPOINT_URL_STS at sts.hitl.test."""
    words = variable.removeprefix("AWS_ENDPOINT_URL_").removesuffix("_URL")
    return words.lower().replace("_", "-") + name_server.SUFFIX


def go(endpoint, sandbox, names):
    """What is typed, and what has to come of it."""
    own = sandbox["environment"]
    # What the vendors have issued to a person; the sandbox's environment has none of it before a stack is connected.
    personal = {
        "LIVECHAT_AGENT_TOKEN": sandbox["livechat"]["agent_token"],
        "BOTPRESS_PERSONAL_ACCESS_TOKEN": sandbox["botpress"]["personal_access_token"],
    }
    plain = ("BOTPRESS_WORKSPACE_ID", "BOTPRESS_WORKSPACE_HANDLE", "LIVECHAT_API_URL", "LIVECHAT_ACCOUNTS_URL", "BOTPRESS_API_URL")
    environment = cli_environment(endpoint) | personal | {name: own[name] for name in plain} | {"HITL_STACK": STACK}
    environment["PATH"] = f"{bare_root.AWS / 'bin'}:/bin"
    environment |= names
    account = [sandbox["livechat"][key] for key in ("client_id", "organization_id", "redirect_uri")]

    def run(*words, answers=(), status=0, says=""):
        command = ["./hitl", "--url", own["HITL_URL"], *words]
        print("$ hitl", *words, flush=True)
        typed = "".join(f"{line}\n" for line in answers)
        ran = bare_root.run(command, input=typed, text=True, capture_output=True, env=environment)
        print(ran.stderr + ran.stdout, flush=True)
        if ran.returncode != status or says not in ran.stderr + ran.stdout:
            sys.exit(f"{words}: status {ran.returncode}, not {status}, or it does not say {says!r}")
        return ran.stdout

    stacks, storage = client("cloudformation", endpoint), client("s3", endpoint)
    elsewhere = [account[0], "00000000-0000-4000-8000-000000000000", account[2]]
    run("deploy", "--from", "release", answers=elsewhere, status=1, says="LIVECHAT_ORGANIZATION_ID")
    if storage.list_buckets()["Buckets"]:
        sys.exit("something was created before LiveChat had accepted the app")
    run("deploy", "--from", "release", "--dry-run", answers=account, says="AWS::DynamoDB::Table")
    if any(stack["StackStatus"] != "DELETE_COMPLETE" for stack in stacks.list_stacks()["StackSummaries"]):
        sys.exit("a dry run has left a stack")
    # No bot is connected yet, and the doctor says so.
    first = json.loads(run("deploy", "--from", "release", "--json", answers=account, status=1, says="CREATE_COMPLETE"))
    found = {check["id"] for check in first["doctor"]["checks"] if check["verdict"] == "finding"}
    if not found <= {"secret", "access-key", "installs"}:
        sys.exit(f"a stack that has just been deployed has other findings than that no bot is connected: {found}")
    run("connect", "botpress", says="Botpress is connected")
    for what in ("install", "sweep"):
        urllib.request.urlopen(urllib.request.Request(f"{sandbox['people']}/{what}", method="POST"), timeout=60).read()
    run("doctor", says="in order")
    again = json.loads(run("deploy", "--from", "release", "--json"))
    if again["changes"]:
        sys.exit(f"the same release changes something: {again['changes']}")
    longer = ("deploy", "--from", "release", "--parameter", "LogRetentionDays=60", "--json")
    changed = {change["resource"] for change in json.loads(run(*longer))["changes"]}
    parameters = stacks.describe_stacks(StackName=STACK)["Stacks"][0]["Parameters"]
    values = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in parameters}
    # The emulator counts what depends on a parameter in any way as changed; neither of these does.
    if "ActionsLogs" not in changed or {"Table", "Secret"} & changed:
        sys.exit(f"another retention of the logs changes {changed}")
    if (values["LogRetentionDays"], values["LiveChatClientId"]) != ("60", account[0]):
        sys.exit(f"the stack has other parameters than it was given: {values}")


@contextlib.contextmanager
def functions_by_role(endpoint, vendors):
    """Lambda's API for functions that have no names yet: finds them by their roles in the stack when they are called, and tells them of
    the simulators first."""
    known = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            role = self.path.split("/")[3]
            if not known:
                known.update(resources(endpoint, STACK))
                point_to(endpoint, known, vendors)
            url = endpoint + self.path.replace(f"/{role}/", f"/{known[role]}/")
            body = self.rfile.read(int(self.headers["content-length"]))
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as answer:
                content = answer.read()
                self.send_response(answer.status)
                for name in ("content-type", "x-amz-function-error"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with answering(Handler) as address:
        yield address


def point_to(endpoint, names, vendors):
    """Gives both functions the simulators' addresses in place of the vendors'."""
    functions = client("lambda", endpoint)
    for name in FUNCTIONS:
        variables = functions.get_function_configuration(FunctionName=names[name])["Environment"]["Variables"]
        functions.update_function_configuration(FunctionName=names[name], Environment={"Variables": variables | vendors})


def rebuild(endpoint, parameters, vendors, names):
    """Deletes the stack, and puts its table and its secret under a new one: what operations.md tells an operator to do."""
    stacks = client("cloudformation", endpoint)
    stacks.delete_stack(StackName=STACK)
    wait_for_stack(stacks, STACK, "DELETE")
    tables = client("dynamodb", endpoint).list_tables()["TableNames"]
    if names["Table"] not in tables:
        sys.exit(f"the table went with its stack: {tables}")
    secrets = client("secretsmanager", endpoint)
    secret = secrets.get_secret_value(SecretId=names["Secret"])
    kept = {"ExistingTableName": names["Table"], "ExistingSecretArn": secret["ARN"]}
    again = deploy(endpoint, f"{STACK}-again", parameters | kept, vendors)
    if {"Table", "Secret"} & again.keys():
        sys.exit(f"the new stack has made a table or a secret of its own: {again}")
    functions = client("lambda", endpoint)
    for name in FUNCTIONS:
        variables = functions.get_function_configuration(FunctionName=again[name])["Environment"]["Variables"]
        if (variables["TABLE_NAME"], variables["SECRET_ID"]) != tuple(kept.values()):
            sys.exit(f"{name} has another table or secret: {variables}")
    sweep = functions.invoke(FunctionName=again["Webhooks"], Qualifier="live", Payload=b"{}")
    if "FunctionError" in sweep or json.loads(sweep["Payload"].read()).keys() != {"due", "done"}:
        sys.exit("the new stack's sweep does not run on the old table")
    if secrets.get_secret_value(SecretId=names["Secret"])["SecretString"] != secret["SecretString"]:
        sys.exit("the secret has changed")
    print("rebuilt: a new stack works on the table and the secret of the deleted one")


def main():
    mode = sys.argv[1] if len(sys.argv) > 1 else "botpress"
    bot = "botcopy" if mode == "botcopy" else "botpress"
    livechat, botpress, botcopy = free_port(), free_port(), free_port()
    vendors = {
        "LIVECHAT_API_URL": f"http://127.0.0.1:{livechat}",
        "LIVECHAT_ACCOUNTS_URL": f"http://127.0.0.1:{livechat}",
        "BOTPRESS_API_URL": f"http://127.0.0.1:{botpress}",
        "BOTCOPY_API_URL": f"http://127.0.0.1:{botcopy}",
    }
    if mode == "hitl":
        with emulator() as endpoint:
            deploy_by_hitl(endpoint, vendors)
        return
    with serving() as sandbox:
        parameters = stack_parameters(sandbox["livechat"])
    with emulator() as endpoint:
        names = (deploy_release if mode == "release" else deploy)(endpoint, STACK, parameters, vendors)
        print("deployed:", ", ".join(f"{key} {names[key]}" for key in ("Actions", "Webhooks", "Table", "Secret")))
        deployed = {
            "endpoint": endpoint,
            # Where the functions are told of the simulators afterwards, that is not in the version that the alias leads to.
            "actions": names["Actions"] if mode == "release" else f"{names['Actions']}:live",
            "webhooks": names["Webhooks"] if mode == "release" else f"{names['Webhooks']}:live",
            "secret": names["Secret"],
            "livechat_port": livechat,
            "botpress_port": botpress,
            "botcopy_port": botcopy,
        }
        command = ["cargo", "run", "--quiet", "--", "--bot", bot, "--deployed", json.dumps(deployed)]
        played = subprocess.run(command, cwd=ROOT, timeout=300)
        items = client("dynamodb", endpoint).scan(TableName=names["Table"])["Items"]
        print(f"the emulator's table holds {len(items)} items")
        if played.returncode or not items:
            sys.exit(played.returncode or "nothing was written to the emulator's table")
        if mode != "release":
            change_parameters(endpoint, parameters, vendors, names)
        rebuild(endpoint, parameters, vendors, names)


if __name__ == "__main__":
    main()
