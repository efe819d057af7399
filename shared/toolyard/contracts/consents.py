"""How a gateway has a user asked for a consent before any call needs it: a question to the scheduler, and its answer.

Neither is in the log; what a user is asked for then is (`toolyard.contracts.control.AuthorizationAsked`).
"""

from msgspec import Struct

from toolyard.contracts.bounds import Label, Name, Number, Seconds, Word
from toolyard.contracts.calls import Authorization


class ConsentAsked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway asks what this user has to consent to before a tool can be run for them.

    Attributes:
        gateway: whose queue gets the answer.
        number: counted by the gateway; the answer repeats it.
        version: of the tool.
    """

    v: int
    gateway: Name
    number: Number
    org: Name
    user: Label
    tool: Name
    version: Number


class ConsentTold(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to `ConsentAsked`; with neither of these, nothing is missing.

    Attributes:
        authorization: what the user has to consent to.
        refused: a code, where it could not be asked for; ``message`` says why, without anything secret.
        retry_after: seconds until another try makes sense, where that is known.
    """

    v: int
    number: Number
    org: Name
    authorization: Authorization | None = None
    refused: Word | None = None
    message: Label = ""
    retry_after: Seconds | None = None
