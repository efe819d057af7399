"""Definitions of lambda tools, as data: what is changed in a good one, the field that is named, and what is said."""

from typing import Any

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:price-list"
ROLE = "arn:aws:iam::123456789012:role/price-list"
KEYS = {"access_key_field": "AWS_KEY", "secret_key_field": "AWS_SECRET"}
LISTED = {"secrets": ["AWS_KEY", "AWS_SECRET", "AWS_TOKEN"]}


def invoking(top: dict[str, Any] | None = None, /, **binding: Any) -> dict[str, Any]:
    """A good definition with these fields of its binding, and these of its own; ``...`` takes one away."""
    whole = {"type": "lambda", "function_name": "price-list", "aws_region": "eu-central-1"} | binding
    return {
        "name": "price",
        "description": "The price of an article.",
        "parameters": {"type": "object", "properties": {"sku": {"type": "string"}}},
        "binding": {name: value for name, value in whole.items() if value is not ...},
    } | (top or {})


#: name -> the definition, the field that is named, a part of what is said
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    # -- the function
    "no function": (invoking(function_name=...), "binding.function_name", "is missing; give it"),
    "a function that is a number": (invoking(function_name=7), "binding.function_name", "must be a text"),
    "a function with a space": (invoking(function_name="price list"), "binding.function_name", "price-list or arn:aws"),
    "a function with a path": (invoking(function_name="a/../b"), "binding.function_name", "the name of a function"),
    "a function with a placeholder": (
        invoking(function_name="${arguments.sku}"),
        "binding.function_name",
        "the name of a function or its ARN",
    ),
    "a function of 65 letters": (invoking(function_name="a" * 65), "binding.function_name", "the name of a function"),
    "the ARN of a bucket": (invoking(function_name="arn:aws:s3:::prices"), "binding.function_name", "its ARN, as in"),
    "an ARN with a short account": (
        invoking(function_name="arn:aws:lambda:eu-central-1:12:function:f"),
        "binding.function_name",
        "its ARN, as in",
    ),
    "a name that ends with a colon": (invoking(function_name="f:"), "binding.function_name", "the name of a function"),
    # -- the region
    "no region": (invoking(aws_region=...), "binding.aws_region", "is missing; give it"),
    "a region that is a host": (invoking(aws_region="evil.example.com"), "binding.aws_region", "as in eu-central-1"),
    "a region with a path": (invoking(aws_region="eu-central-1/x"), "binding.aws_region", "as in eu-central-1"),
    "a region in capitals": (invoking(aws_region="EU-CENTRAL-1"), "binding.aws_region", "as in eu-central-1"),
    "a region with a line break": (invoking(aws_region="eu-central-1\n"), "binding.aws_region", "as in eu-central-1"),
    "a region with a placeholder": (invoking(aws_region="${context.r}"), "binding.aws_region", "as in eu-central-1"),
    "another region than the ARN's": (
        invoking(function_name=ARN, aws_region="us-east-1"),
        "binding.aws_region",
        "the ARN of the function says eu-central-1; write that",
    ),
    # -- how it is invoked
    "a dry run": (invoking(invocation_type="DryRun"), "binding.invocation_type", "'RequestResponse' or 'Event'"),
    "a way in lower case": (invoking(invocation_type="event"), "binding.invocation_type", "'RequestResponse' or 'Ev"),
    "an empty qualifier": (invoking(qualifier=""), "binding.qualifier", "a version or an alias"),
    "a qualifier that is a number": (invoking(qualifier=7), "binding.qualifier", "must be a text, not a number"),
    "a qualifier with a space": (invoking(qualifier="a b"), "binding.qualifier", "as in 7, live or $LATEST"),
    "two qualifiers": (
        invoking(function_name=f"{ARN}:live", qualifier="7"),
        "binding.qualifier",
        "'live'; keep one",
    ),
    "an event that is streamed": (
        invoking(invocation_type="Event", response_streaming=True),
        "binding.response_streaming",
        "answered before its function runs; leave it out",
    ),
    "an event with an output": (
        invoking({"output": {"type": "object"}}, invocation_type="Event"),
        "output",
        "an answer that never comes",
    ),
    "streaming that is a text": (invoking(response_streaming="yes"), "binding.response_streaming", "true or false"),
    "an endpoint": (invoking(endpoint_url="http://h.example"), "binding.endpoint_url", "is not a field here"),
    "a misspelt field": (invoking(region="eu-central-1"), "binding.region", "did you mean aws_region?"),
    "a log type": (invoking(log_type="Tail"), "binding.log_type", "is not a field here"),
    # -- what it is given
    "an argument that is none": (
        invoking(payload_template={"a": ["${arguments.name}"]}),
        "binding.payload_template.a.0",
        "'name' is not a property of parameters",
    ),
    "a secret that is not listed": (
        invoking(payload_template={"a": "${secrets.TOKEN}"}),
        "binding.payload_template.a",
        "'TOKEN' is not listed in secrets; list it there",
    ),
    "a placeholder in a key": (
        invoking(payload_template={"${arguments.sku}": 1}),
        "binding.payload_template",
        "keys are not filled in",
    ),
    "an open placeholder": (invoking(payload_template="${arguments.sku"), "binding.payload_template", "closing brace"),
    # -- as whom
    "credentials that are a text": (invoking(credentials="x"), "binding.credentials", "must be a JSON object"),
    "keys themselves": (
        invoking(credentials={"access_key": "AKIA", "secret_key": "x"}),
        "binding.credentials.access_key",
        "did you mean access_key_field?",
    ),
    "a profile": (invoking(credentials={"profile": "prod"}), "binding.credentials.profile", "is not a field here"),
    "a role that is a name": (
        invoking(credentials={"role": "price-list"}),
        "binding.credentials.role",
        "ARN of a role",
    ),
    "a role that is a user": (
        invoking(credentials={"role": "arn:aws:iam::123456789012:user/ann"}),
        "binding.credentials.role",
        "arn:aws:iam::123456789012:role/price-list",
    ),
    "a role twice": (
        invoking(credentials={"role": ROLE, "assume_role": ROLE}),
        "binding.credentials.assume_role",
        "is another name of role; give one of them",
    ),
    "an external id of one letter": (
        invoking(credentials={"role": ROLE, "external_id": "a"}),
        "binding.credentials.external_id",
        "2 to 1024 letters",
    ),
    "an external id alone": (
        invoking(credentials={"external_id": "abc"}),
        "binding.credentials.external_id",
        "name the role, or leave it out",
    ),
    "an external id of another org": (
        invoking(credentials={"role": ROLE, "external_id": "toolyard:acme"}),
        "binding.credentials.external_id",
        "begins with 'toolyard:', which is put before it for the org that asks; leave that out",
    ),
    "half a pair of keys": (
        invoking(LISTED, credentials={"access_key_field": "AWS_KEY"}),
        "binding.credentials.secret_key_field",
        "name the secret of each",
    ),
    "the other half": (
        invoking(LISTED, credentials={"secret_key_field": "AWS_SECRET"}),
        "binding.credentials.access_key_field",
        "name the secret of each",
    ),
    "a key that is not listed": (
        invoking({"secrets": ["AWS_KEY"]}, credentials=KEYS),
        "binding.credentials.secret_key_field",
        "'AWS_SECRET' is not listed in secrets; list it there",
    ),
    "a key that looks like one": (
        invoking(LISTED, credentials=KEYS | {"access_key_field": "not/a/name"}),
        "binding.credentials.access_key_field",
        "a letter first, 64 at most",
    ),
}

#: name -> a definition that is kept
ACCEPTED: dict[str, dict[str, Any]] = {
    "a name": invoking(),
    "a name and a version": invoking(qualifier="7"),
    "a name and an alias": invoking(qualifier="live"),
    "the newest code": invoking(qualifier="$LATEST"),
    "an alias at the end of the name": invoking(function_name="price-list:live"),
    "the function of another account": invoking(function_name="123456789012:function:price-list"),
    "an ARN": invoking(function_name=ARN),
    "an ARN with a version": invoking(function_name=f"{ARN}:7"),
    "a region of a government": invoking(
        function_name="arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f", aws_region="us-gov-west-1"
    ),
    "a region of Europe's own": invoking(aws_region="eusc-de-east-1"),
    "a region of China": invoking(aws_region="cn-northwest-1"),
    "an event": invoking(invocation_type="Event"),
    "a stream": invoking(response_streaming=True),
    "an object": invoking(
        {"secrets": ["TOKEN"], "contexts": ["shop"]},
        payload_template={"sku": "${arguments.sku}", "shop": "${context.shop}", "by": ["${TOKEN}", "${call_id}", 1]},
    ),
    "a payload that is a text": invoking(payload_template="${arguments.sku}"),
    "a payload that is a number": invoking(payload_template=0),
    "a role": invoking(credentials={"role": ROLE}),
    "a role with an external id": invoking(credentials={"role": ROLE, "external_id": "a1b2:c3"}),
    "keys": invoking(LISTED, credentials=KEYS),
    "keys with a token": invoking(LISTED, credentials=KEYS | {"session_token_field": "AWS_TOKEN"}),
    "keys that assume a role": invoking(LISTED, credentials=KEYS | {"role": ROLE}),
    "keys and any external id": invoking(LISTED, credentials=KEYS | {"role": ROLE, "external_id": "toolyard:x"}),
}
