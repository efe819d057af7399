"""What goes wrong between a client and a gateway. `Refused`, which a gateway itself says, is in `toolyard.errors`."""

from typing import Literal

from toolyard.errors import ToolyardError

#: ``refused``: nothing was sent; ``cut``: the connection broke; ``silent``: no answer came in time.
How = Literal["refused", "cut", "silent"]


class Unreachable(ToolyardError):  # noqa: N818 - like `Unavailable`
    """Nothing answered at the gateway's address, or it stopped in the middle.

    Attributes:
        how: what happened to the connection.
    """

    code = "unavailable"

    def __init__(self, message: str, *, how: How = "cut") -> None:
        super().__init__(message)
        self.how = how


class Unexpected(ToolyardError):  # noqa: N818 - like `Unavailable`
    """Something answered that is no gateway of ours: a proxy's page, say.

    Attributes:
        status: its HTTP status, where that is what was wrong.
    """

    code = "internal"

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
