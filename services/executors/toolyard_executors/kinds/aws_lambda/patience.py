"""How long threads wait for the interpreter before they ask for it: one setting for the whole process.

Used by the executor while it is open. Two may be open at a time, and neither knows of the other.
"""

import sys
import threading
from typing import Final

#: Seconds after which a thread that waits for the interpreter asks for it. Each that waits wakes up so often: with the
#: usual 5 ms hundreds of them are busy with nothing else. Whoever has it gives it up sooner, to send or to read.
PATIENCE: Final = 0.05


class Patience:
    """The interpreter's switch interval, at least so long while somebody holds it.

    Who lets go last puts back what the first one found.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._holders = 0
        self._found = 0.0

    def hold(self) -> None:
        """Let threads wait so long, until as many `let_go` as held it."""
        with self._lock:
            if not self._holders:
                self._found = sys.getswitchinterval()
                sys.setswitchinterval(max(self._seconds, self._found))
            self._holders += 1

    def let_go(self) -> None:
        """It is no longer needed by one who held it."""
        with self._lock:
            self._holders -= 1
            if not self._holders:
                sys.setswitchinterval(self._found)


#: Of this process: there is one interpreter.
patience: Final = Patience(PATIENCE)
