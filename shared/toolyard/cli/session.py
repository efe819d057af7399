"""What client commands share: where the gateway is, with which key, and how errors reach the person or the script."""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import typer

from toolyard.cli.output import Output
from toolyard.client import Client, Request, Unexpected, Unreachable
from toolyard.errors import FieldsRefused, Refused, ToolyardError

P = ParamSpec("P")
#: Seconds for which an event stream that broke is asked for again; other commands ask once.
RETRY_FOR: Final = 10.0

#: Under which heading the options stand that all client commands share.
PANEL: Final = "Connection and output"
Url = Annotated[
    str | None, typer.Option("--url", help="The gateway.", metavar="URL", show_default=False, rich_help_panel=PANEL)
]
Key = Annotated[
    str | None, typer.Option("--key", help="The API key.", metavar="KEY", show_default=False, rich_help_panel=PANEL)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document, for scripts.", rich_help_panel=PANEL)]
_NO = inspect.Parameter.KEYWORD_ONLY
_OUTPUT = [inspect.Parameter("as_json", _NO, annotation=Json, default=False)]
_CONNECTION = [
    inspect.Parameter("url", _NO, annotation=Url, default=None),
    inspect.Parameter("key", _NO, annotation=Key, default=None),
    *_OUTPUT,
]


@dataclass(frozen=True, slots=True)
class Session:
    """A client command at work: whom it asks and where it prints."""

    client: Client
    out: Output

    def ask(self, request: Request, what: str = "Asking the gateway", *, members: Sequence[str] = ()) -> Any:
        """Send a request, with a spinner for as long as it lasts.

        Raises:
            Unexpected: the answer is no object with these members: another program listens there.
        """
        with self.out.waiting(what):
            answer = self.client.send(request)
        if members and not (isinstance(answer, dict) and answer.keys() >= set(members)):
            raise Unexpected(f"{self.client.url} does not answer as a gateway does: {', '.join(members)} missing.")
        return answer


def connected(function: Callable[Concatenate[Session, P], None], *, failed: int = 1) -> Callable[..., None]:
    """A command that speaks with a gateway: takes ``--url``, ``--key``, ``--json`` and gives the function a session.

    Args:
        function: the command.
        failed: its exit code where the gateway does not answer, or refuses.
    """

    def command(*, url: str | None, key: str | None, as_json: bool, **own: Any) -> None:
        out = Output(as_json=as_json)
        with errors_told(out, failed), _client(url, key) as client:
            function(Session(client, out), **own)  # type: ignore[call-arg]

    return _with_options(command, function, _CONNECTION)


def local(function: Callable[Concatenate[Output, P], None]) -> Callable[..., None]:
    """A command that needs no gateway: takes ``--json`` and gives the function its output."""

    def command(*, as_json: bool, **own: Any) -> None:
        out = Output(as_json=as_json)
        with errors_told(out):
            function(out, **own)  # type: ignore[call-arg]

    return _with_options(command, function, _OUTPUT)


def _with_options(
    command: Callable[..., None], function: Callable[..., None], options: list[inspect.Parameter]
) -> Callable[..., None]:
    """The command under the function's name and help, with its parameters (but the first) and these options."""
    signature = inspect.signature(function, eval_str=True)
    own = [parameter.replace(kind=_NO) for parameter in list(signature.parameters.values())[1:]]
    parameters = [*own, *options]

    def checked(**given: Any) -> None:
        for parameter in parameters:
            _check_given(parameter, given[parameter.name])
        command(**given)

    functools.update_wrapper(checked, function)
    del checked.__wrapped__  # type: ignore[attr-defined]
    checked.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    checked.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return checked


def _check_given(parameter: inspect.Parameter, value: Any) -> None:
    """Nothing is given as an empty text: it is a variable of a shell that was not set, and would ask for other things.

    Raises:
        typer.BadParameter: it is empty.
    """
    texts = value if isinstance(value, list) else [value]
    if all(text.strip() for text in texts if isinstance(text, str)):
        return
    (said,) = parameter.annotation.__metadata__
    names = [name for name in (said.default, *(said.param_decls or ())) if str(name).startswith("--")]
    hint = names[0] if names else str(said.metavar)  # typer takes an option's first name for its default
    more = "" if parameter.default is inspect.Parameter.empty else ", or leave it out"
    raise typer.BadParameter(f"is empty; give one{more}", param_hint=hint)


def _client(url: str | None, key: str | None) -> Client:
    try:
        return Client(url, key, retry_for=RETRY_FOR)
    except FieldsRefused as refused:
        field = refused.fields[0]
        hint = "--key" if field.path == "key" else "--url" if url is not None else "TOOLYARD_HOST, TOOLYARD_PORT"
        raise typer.BadParameter(field.message, param_hint=hint) from None


# ---- what went wrong ----------------------------------------------------------------------------


@contextmanager
def errors_told(out: Output, failed: int = 1) -> Iterator[None]:
    """Expected errors become a message on stderr and this exit code; everything else is a defect and shows itself."""
    try:
        yield
    except Refused as refused:
        out.problem(refused.refusal, refused.detail, refused.fields, refused.extra)
        _advise(out, refused)
        raise typer.Exit(failed) from None
    except Unreachable as error:
        out.problem(error.code, str(error))
        if not out.as_json:
            out.say("Start the whole system with `toolyard dev`, or a gateway with `toolyard gateway`; or name --url.")
        raise typer.Exit(failed) from None
    except ToolyardError as error:
        out.problem(error.code, str(error))
        raise typer.Exit(failed) from None


def _advise(out: Output, refused: Refused) -> None:
    if out.as_json:
        return
    if refused.refusal == "unauthenticated":
        out.say("Give a key with --key or TOOLYARD_API_KEY; `toolyard dev` keeps its own in .toolyard/key.")
    elif refused.retry_after is not None:
        out.say(f"Try again in {refused.retry_after:g} s.")
