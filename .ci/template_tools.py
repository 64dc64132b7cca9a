"""What SAM makes of template.yaml."""

import logging
import os
import re
import sys
from pathlib import Path

from samtranslator.public.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

# What SAM says of itself.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

SOURCE = Path(__file__).resolve().parent.parent / "template.yaml"


def translated(parameters):
    """The CloudFormation template that `sam deploy` would hand over, without the code."""
    template = yaml_parse(SOURCE.read_text())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # Where `sam package` would have put the code; SAM translates no local folder.
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    # The partition follows from the region, and any region will do.
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    try:
        return transform(template, parameter_values=parameters, managed_policy_loader=None)
    except InvalidDocumentException as error:
        sys.exit("\n".join(f"{SOURCE.name}: {cause.message}" for cause in error.causes))


def metadata():
    """What the template says to the Serverless Application Repository."""
    return yaml_parse(SOURCE.read_text())["Metadata"]["AWS::ServerlessRepo::Application"]


def routes(template):
    """The HTTP API's routes: the logical id of the function by method and path."""
    found = {}
    for path, methods in template["Resources"]["Api"]["Properties"]["Body"]["paths"].items():
        for method, operation in methods.items():
            uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
            # By the alias: what calls a function without one skips the canary.
            found[method.upper(), path] = re.search(r"\$\{(\w+)Aliaslive\}", uri)[1]
    return found
