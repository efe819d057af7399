"""Names that AWS gives, as far as a definition may hold them: regions, functions and their versions, roles. Pure.

The gateway refuses others when a tool is saved, so that no tool can choose where its worker connects.
"""

import re
from dataclasses import dataclass
from typing import Final

_REGION: Final = r"(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]{2,20}-[0-9]{1,2}"
_VERSION: Final = r"\$LATEST(?:\.PUBLISHED)?|[A-Za-z0-9_-]{1,128}"
_NAME: Final = (
    r"(?:arn:aws[a-z-]{0,20}:lambda:(?:%(region)s):[0-9]{12}:function:|[0-9]{12}:function:)?"
    r"[A-Za-z0-9_-]{1,64}(?::(?:%(qualifier)s))?"
)
REGION: Final = f"^{_REGION}$"
QUALIFIER: Final = f"^(?:{_VERSION})$"
#: A name, ``<account>:function:<name>`` or an ARN; each may be followed by ``:<qualifier>``.
FUNCTION: Final = f"^{_NAME % {'region': _REGION, 'qualifier': _VERSION}}$"
ROLE: Final = r"^arn:aws[a-z-]{0,20}:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,512}$"
#: How the external id begins with which an org assumes a role through the worker; no tool says it itself.
EXTERNAL_ID_OF_ORGS: Final = "toolyard:"
EXTERNAL_ID: Final = r"^[A-Za-z0-9_+=,.@:/-]{2,1024}$"

_PARTS: Final = re.compile(_NAME % {"region": f"(?P<region>{_REGION})", "qualifier": f"(?P<qualifier>{_VERSION})"})


@dataclass(frozen=True, slots=True)
class FunctionName:
    """What the name of a function says beside the name.

    Attributes:
        region: of its ARN; ``qualifier``: at its end.
    """

    region: str | None
    qualifier: str | None


def function_name(text: str) -> FunctionName:
    """What the name of a function says.

    Raises:
        ValueError: it is none.
    """
    parts = _PARTS.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text[:64]!r} is not the name of a function")
    return FunctionName(parts["region"], parts["qualifier"])


def is_region(text: str) -> bool:
    """Whether this may be a region: a host is made of it."""
    return re.fullmatch(_REGION, text) is not None
