"""Where pika's errors become ours. Every call into pika stands inside `translated`; nothing above knows the driver.

The texts name hosts, queues and the broker's own words, never credentials.
"""

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from pika import exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectionWorkflowFailed, AMQPConnectorPhaseErrorBase

from toolyard.errors import SettingsError, ToolyardError, Unavailable

_ACCESS_REFUSED = 403
_NOT_FOUND = 404
_PRECONDITION_FAILED = 406
#: What a broker that has just come back says of a stream whose replica is not up yet, with the code of a mismatch.
_NO_REPLICA = re.compile(r"does not have a (running )?replica")
#: What the broker says when a login or a vhost is wrong; other endings of a handshake are worth another try.
_WRONG_LOGIN = ("(403)", "(530)")


class Missing(Unavailable):
    """A queue or exchange that should be there and is not."""


class Mismatch(SettingsError):  # noqa: N818
    """A queue or exchange that is there, but not as the topology wants it."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raises ours for what pika raises; ``doing`` says what was tried."""
    try:
        yield
    except exceptions.AMQPError as error:
        raise translate(error, doing) from error


def translate(error: BaseException, doing: str) -> ToolyardError:
    """Our error for one of pika's: a close reason, a refused request, a failed connect."""
    error = _innermost(error)
    if isinstance(error, ToolyardError):
        return error
    if isinstance(error, exceptions.ChannelClosedByBroker | exceptions.ConnectionClosedByBroker):
        return _told_by_broker(error, doing)
    if isinstance(
        error,
        exceptions.ProbableAuthenticationError | exceptions.ProbableAccessDeniedError | exceptions.AuthenticationError,
    ):
        return _handshake(error, doing)
    return Unavailable(f"{doing}: {_words(error)}")


def unsendable(error: Exception) -> Unavailable:
    """For a message that AMQP cannot carry: too long a key, a number of more than 64 bits, a lone surrogate."""
    return Unavailable(f"the message cannot be sent: {_words(error)}")


#: What encoding a message may raise, in pika and in our own code.
ENCODING_ERRORS = (exceptions.AMQPError, ValueError, TypeError, struct.error)


def _told_by_broker(error: "exceptions.ChannelClosed | exceptions.ConnectionClosed", doing: str) -> ToolyardError:
    text = f"{doing}: the broker answers {error.reply_code} {error.reply_text}"
    if error.reply_code == _NOT_FOUND:
        return Missing(text)
    if error.reply_code == _PRECONDITION_FAILED and not _NO_REPLICA.search(text):
        return Mismatch(text)
    if error.reply_code == _ACCESS_REFUSED:
        return SettingsError(text)
    return Unavailable(text)


def _handshake(error: BaseException, doing: str) -> ToolyardError:
    text = str(error.args[0]) if error.args else type(error).__name__
    if any(code in text for code in _WRONG_LOGIN) and "limit" not in text:
        return SettingsError(f"{doing}: user, password or vhost of the broker's URL are refused: {text}")
    return Unavailable(f"{doing}: the handshake broke off: {text}")


def _words(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _innermost(error: BaseException) -> BaseException:
    """The cause itself: pika wraps a refused connection four times."""
    inner: BaseException | None = error
    while inner is not None:
        error, inner = inner, _inside(inner)
    return error


def _inside(error: BaseException) -> BaseException | None:
    if isinstance(error, AMQPConnectionWorkflowFailed):
        last: BaseException | None = error.exceptions[-1] if error.exceptions else None
        return last
    if isinstance(error, AMQPConnectorPhaseErrorBase):
        cause: BaseException = error.exception
        return cause
    if isinstance(error, exceptions.AMQPConnectionError) and error.args and isinstance(error.args[0], BaseException):
        wrapped: BaseException = error.args[0]
        return wrapped
    return None
