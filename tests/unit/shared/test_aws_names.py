"""Names of AWS: what is one, what none, and what a function's name says beside the name."""

import re

import pytest

from toolyard.aws_names import FUNCTION, QUALIFIER, REGION, FunctionName, function_name, is_region

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:f"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("price-list", FunctionName(None, None)),
        ("price_list:live", FunctionName(None, "live")),
        ("123456789012", FunctionName(None, None)),
        ("123456789012:function:f", FunctionName(None, None)),
        ("123456789012:function:f:$LATEST", FunctionName(None, "$LATEST")),
        (ARN, FunctionName("eu-central-1", None)),
        (f"{ARN}:7", FunctionName("eu-central-1", "7")),
        ("arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f", FunctionName("us-gov-west-1", None)),
        ("arn:aws-cn:lambda:cn-north-1:123456789012:function:f:$LATEST", FunctionName("cn-north-1", "$LATEST")),
    ],
)
def test_the_name_of_a_function_says_its_region_and_its_version(text: str, says: FunctionName):
    assert function_name(text) == says
    assert re.search(FUNCTION, text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a b", "a\n", "f/x", "../f", "${arguments.f}", "f:", "f:a:b", "f.g", "a" * 65, f"f:{'v' * 129}"),
        *(
            "arn:aws:s3:::bucket",
            ARN.replace("123456789012", "12"),
            ARN.replace("eu-central-1", "evil.example"),
            f"{ARN}:",
        ),
        *("arn:evil:lambda:eu-central-1:123456789012:function:f", "function:f:a:b", f"x{ARN}", f"{ARN}\n"),
    ],
)
def test_what_is_no_name_of_a_function(text: str):
    with pytest.raises(ValueError, match="is not the name of a function"):
        function_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "eu-central-1",
        "ap-southeast-7",
        "us-gov-west-1",
        "us-isob-east-1",
        "eusc-de-east-1",
        "mx-central-1",
        "cn-north-1",
    ],
)
def test_regions(text: str):
    assert is_region(text)
    assert re.search(REGION, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "eu",
        "eu-central",
        "EU-CENTRAL-1",
        "eu-central-1.evil.example",
        "eu-central-1\n",
        "eu-central-1/",
        "eu_central_1",
        "a@eu-central-1",
        "eu-central-1:443",
        "${context.region}",
        "eu-cEntral-1",
        "eu-central-\u0661",
    ],
)
def test_what_is_no_region_is_part_of_no_host(text: str):
    assert not is_region(text)


@pytest.mark.parametrize(("text", "is_one"), [("7", 1), ("live", 1), ("$LATEST", 1), ("", 0), ("a b", 0), ("$X", 0)])
def test_versions_and_aliases(text: str, is_one: int):
    assert bool(re.search(QUALIFIER, text)) == bool(is_one)
