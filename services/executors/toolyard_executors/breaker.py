"""One circuit breaker: when what is behind a circuit is asked, when it is left alone, and when it is tried again. Pure.

`circuits` keeps one for each circuit of an org, gives it the time, and tells others what became of it. Closed, it
counts how attempts end in a window that moves along; open, it lets nothing through until a pause is over; half-open,
one attempt at a time, whose end closes it or opens it again for a longer pause.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

State = Literal["closed", "open", "half_open"]

#: Episodes that are remembered as over: what is still on its way of them is not believed any more.
_OVER_KEPT: Final = 8
#: Doublings of a pause that are told apart.
_DOUBLINGS: Final = 30


@dataclass(frozen=True, slots=True)
class Policy:
    """When a breaker opens, and for how long. Durations in seconds.

    Attributes:
        window: attempts that ended in the last so many seconds count, in ``buckets`` of them.
        least: it does not open before so many attempts ended in the window; ``rate``: the part of them that must have
            failed. Whatever ended well before, as many failures in a row are enough if the row lasts for ``moment``:
            one blow to all that is under way is no row.
        first_pause: of the first opening; each one that follows is twice as long, up to ``longest_pause``.
        calm: closed for so long, it begins with the first pause again.
        idle: half-open for so long without an attempt, it is forgotten: nobody needs it.
    """

    window: float = 10.0
    buckets: int = 10
    least: int = 20
    rate: float = 0.5
    moment: float = 0.5
    first_pause: float = 1.0
    longest_pause: float = 30.0
    calm: float = 60.0
    idle: float = 120.0


USUAL: Final = Policy()


class Window:
    """How the attempts of the last seconds ended.

    Attributes:
        ended: how many; ``failed``: of these.
        row: failures since the last success; ``row_began``: when the first of them ended.
    """

    __slots__ = ("_buckets", "_kept", "_width", "ended", "failed", "row", "row_began")

    def __init__(self, policy: Policy) -> None:
        self._width = policy.window / policy.buckets
        self._kept = policy.buckets
        self._buckets: deque[list[int]] = deque()
        self.ended = self.failed = self.row = 0
        self.row_began = 0.0

    def add(self, now: float, *, failed: bool) -> None:
        """Count one. A bucket that is not in the window any more as a whole is forgotten."""
        number = int(now // self._width)
        buckets = self._buckets
        if not buckets or buckets[-1][0] != number:
            while buckets and buckets[0][0] <= number - self._kept:
                _, ended, bad = buckets.popleft()
                self.ended -= ended
                self.failed -= bad
            buckets.append([number, 0, 0])
        last = buckets[-1]
        last[1] += 1
        self.ended += 1
        if failed:
            last[2] += 1
            self.failed += 1
            if not self.row:
                self.row_began = now
            self.row += 1
        else:
            self.row = 0

    def clear(self) -> None:
        """Nothing ended."""
        self._buckets.clear()
        self.ended = self.failed = self.row = 0


class Breaker:
    """The breaker of one circuit. ``now`` is always a time of the monotonic clock.

    Args:
        policy: when it opens, and for how long.
        begin: makes the name of an episode, and says when it begins, in seconds since 1970 UTC.

    Attributes:
        state: as far as anybody asked; an open one whose pause is over becomes half-open with the next attempt.
        episode: what the time from its first opening to its closing is known by, to all workers.
        openings: in a row, this one included.
        until: when the pause is over.
        since: when the episode began, in seconds since 1970 UTC; ``failures``: how many made it open.
        tells: whether it is ours to tell others of it: who saw it last.
    """

    __slots__ = (
        "_begin",
        "_closed_at",
        "_generation",
        "_over",
        "_policy",
        "_probing",
        "_window",
        "episode",
        "failures",
        "openings",
        "since",
        "state",
        "tells",
        "until",
    )

    def __init__(self, policy: Policy, begin: Callable[[], tuple[str, float]]) -> None:
        self._policy = policy
        self._begin = begin
        self._window = Window(policy)
        self._generation = 0
        self._probing = False
        self._closed_at = float("-inf")
        self._over: deque[str] = deque(maxlen=_OVER_KEPT)
        self.state: State = "closed"
        self.episode = ""
        self.openings = self.failures = 0
        self.until = self.since = 0.0
        self.tells = False

    # ---- attempts -------------------------------------------------------------------------------
    def admit(self, now: float) -> int | None:
        """Leave for one attempt, to be given back to `ended`; None where there is none."""
        if self.state == "closed":
            return self._generation
        if self.state == "open":
            if now < self.until:
                return None
            self._become("half_open")
        if self._probing:
            return None
        self._probing = True
        return self._generation

    def ended(self, leave: int, now: float, *, failed: bool | None) -> bool:
        """An attempt is over; whether that made the breaker open or close.

        Args:
            leave: what `admit` gave. What began before the breaker last changed says nothing any more.
            now: the time.
            failed: whether it was the provider's failure; None where it says nothing of the provider.
        """
        if leave != self._generation:
            return False
        probed, self._probing = self._probing, False
        if failed is None:
            return False
        if not probed:
            self._window.add(now, failed=failed)
            if not failed or not self._is_too_much(now):
                return False
            self._begin_episode(now)
        if failed:
            self._open(now)
        else:
            self._close(now)
        return True

    def remaining(self, now: float) -> float:
        """Seconds until it is worth to come again. Half-open, what comes before its probe has ended comes in vain."""
        if self.state == "open" and now < self.until:
            return self.until - now
        return 0.0 if self.state == "closed" else max(self._pause / 2, self._policy.first_pause)

    def lapse(self, now: float) -> bool:
        """Close where nobody has asked for long; whether it did.

        It is no news of the provider: another worker may be asking it at this very moment, and is still believed.
        """
        if self.state == "closed" or self._probing or now - self.until <= self._policy.idle:
            return False
        self._closed_at, self.tells = now, False
        self._become("closed")
        return True

    # ---- what other workers tell ------------------------------------------------------------------
    def hear_open(
        self, episode: str, now: float, *, openings: int, seconds: float, since: float, failures: int
    ) -> bool:
        """Another worker's breaker is open for so many seconds; whether ours becomes so.

        What is only a repeat, or speaks of an episode that is over, changes nothing; of two episodes at once the one
        that is open longer goes on.
        """
        until = now + min(seconds, self._policy.longest_pause)
        if episode in self._over or until <= now:
            return False
        if self.state != "closed":
            older = openings <= self.openings if episode == self.episode else until <= self.until
            if older:
                return False
        self.episode, self.openings, self.since, self.failures = episode, openings, since, failures
        self.until, self.tells = until, False
        self._become("open")
        return True

    def hear_closed(self, episode: str, now: float) -> bool:
        """Another worker was answered; whether that closes ours."""
        if self.state == "closed":
            self._over.append(episode)
            return False
        self._close(now)
        self._over.append(episode)
        return True

    # ---- changing -----------------------------------------------------------------------------
    @property
    def _pause(self) -> float:
        doubled = self._policy.first_pause * 2.0 ** min(max(self.openings - 1, 0), _DOUBLINGS)
        return min(doubled, self._policy.longest_pause)

    def _is_too_much(self, now: float) -> bool:
        window, policy = self._window, self._policy
        if window.ended < policy.least:
            return False
        lasting = window.row >= policy.least and now - window.row_began >= policy.moment
        return lasting or window.failed >= policy.rate * window.ended

    def _begin_episode(self, now: float) -> None:
        """One that follows the last one soon begins with the pause that this would have come to."""
        if now - self._closed_at > self._policy.calm:
            self.openings = 0
        self.episode, self.since = self._begin()
        self.failures = self._window.failed

    def _open(self, now: float) -> None:
        self.openings += 1
        self.until, self.tells = now + self._pause, True
        self._become("open")

    def _close(self, now: float) -> None:
        self._over.append(self.episode)
        self._closed_at, self.tells = now, True
        self._become("closed")

    def _become(self, state: State) -> None:
        """Whatever began before says nothing any more."""
        self.state, self._probing = state, False
        self._generation += 1
        self._window.clear()
