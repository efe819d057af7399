"""What Arcade answers, as far as it is looked at: bytes in, structs out. Pure.

Called by `executor`. The SDK's own models are not asked: they take any value for any field, and could make other values
of a tool's own. Fields that are not here are left alone, and each that is may be missing.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from toolyard_executors.outbound.answers import understand

S = TypeVar("S", bound=Struct)

#: The status of an authorization that a tool can be run with. Others: ``not_started``, ``pending``, ``failed``.
COMPLETED: Final = "completed"


class Unreadable(Exception):  # noqa: N818 - of an answer
    """An answer that is not what Arcade answers."""


class Authorized(Struct, frozen=True, kw_only=True):
    """How far a user's consent is.

    Attributes:
        id: by which its status is asked for.
        url: where the user consents.
    """

    id: str | None = None
    status: str | None = None
    url: str | None = None
    provider_id: str | None = None
    scopes: tuple[str, ...] | None = None


class ToolError(Struct, frozen=True, kw_only=True):
    """What a tool, or whoever runs it, says of a failure.

    Attributes:
        kind: a word that is open: there may be others than those that are known.
        additional_prompt_content: for the model.
        developer_message: for who wrote the tool.
    """

    kind: str | None = None
    message: str | None = None
    can_retry: bool | None = None
    retry_after_ms: float | None = None
    status_code: int | None = None
    additional_prompt_content: str | None = None
    developer_message: str | None = None


class Output(Struct, frozen=True, kw_only=True):
    """What came of a run. A value is not given up because something odd stands beside it."""

    value: Any | UnsetType = UNSET
    error: Any = None
    logs: Any = None
    authorization: Any = None


class Executed(Struct, frozen=True, kw_only=True):
    """A run.

    Attributes:
        duration: in milliseconds.
    """

    id: Any = None
    execution_id: Any = None
    duration: Any = None
    success: Any = None
    output: Output | None = None

    @property
    def error(self) -> ToolError | None:
        """How it failed; None where it did not. Of an error's fields each counts for itself."""
        said = None if self.output is None else self.output.error
        if said is None:
            return ToolError() if self.success is False else None
        fields = said if isinstance(said, dict) else {}
        kept = {name: _one_of(kinds, fields.get(name)) for name, kinds in _ERROR.items()}
        return ToolError(**kept)

    @property
    def asked(self) -> Authorized | None:
        """The consent that it lacks; None where it ran, or lacks none."""
        said = None if self.output is None else self.output.authorization
        if said is None or self.success is True:
            return None
        try:
            asked = msgspec.convert(said, Authorized)
        except msgspec.ValidationError:
            return Authorized()
        return None if asked.status == COMPLETED else asked

    @property
    def logs(self) -> Iterator[tuple[str, str]]:
        """What the tool said of its run: levels and messages."""
        said = None if self.output is None else self.output.logs
        for log in said if isinstance(said, list) else ():
            message = log.get("message") if isinstance(log, dict) else None
            if isinstance(message, str) and message:
                yield _one_of((str,), log.get("level")) or "info", message


_ERROR: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(("kind", "message", "additional_prompt_content", "developer_message"), (str,)),
    "can_retry": (bool,),
    "retry_after_ms": (int, float),
    "status_code": (int,),
}


def _one_of(kinds: tuple[type, ...], value: Any) -> Any:
    """A value of one of these types; else None. True is no number."""
    return value if type(value) in kinds else None


def read(kind: type[S], body: bytes) -> S:
    """An answer of this kind.

    Raises:
        Unreadable: it is none.
    """
    answer = understand(body, "application/json")
    if not answer.is_json:
        raise Unreadable("no JSON")
    try:
        return msgspec.convert(answer.value, kind)
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from None
