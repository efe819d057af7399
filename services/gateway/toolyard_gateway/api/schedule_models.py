"""The shapes of schedules and dead letters at the HTTP edge; what `models` is for everything else."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from toolyard.contracts.recurrence import LONGEST, MOST_CAUGHT_UP
from toolyard.contracts.schedules import Missed, Overlap
from toolyard_gateway.api.models import TOOL, Deadline, Label, Strict, Timeout, ToolName


class ScheduleDefinition(Strict):
    """What to call again and again, and when: by `cron` or `every`."""

    name: ToolName
    tool: str = Field(pattern=TOOL, description="A name, or `name@version`.", examples=["weather", "weather@3"])
    arguments: dict[str, Any] = Field({}, description="Checked against the tool's `parameters` when it is saved.")
    cron: str | None = Field(
        None,
        max_length=1_000,
        description="Five fields: minute, hour, day of the month, month, day of the week.",
        examples=["30 8 * * MON-FRI"],
    )
    timezone: str | None = Field(
        None, max_length=64, description="Of `cron`: a name of the IANA database. UTC where none is said."
    )
    every: float | None = Field(None, description=f"Seconds, from 1 to {LONGEST:.0f}.", examples=[900])
    start_at: str | None = Field(
        None,
        max_length=64,
        description="No run before this time (RFC 3339); `every` is counted from it.",
        examples=["2026-12-24T18:00:00Z"],
        json_schema_extra={"format": "date-time"},
    )
    missed: Missed = Field("run_once", description="What becomes of runs that passed while nobody could start them.")
    catch_up: Annotated[int, Field(ge=1, le=MOST_CAUGHT_UP)] | None = Field(
        None, description="With `missed: catch_up`: how many of them are made up for, the newest."
    )
    overlap: Overlap = Field("allow", description="`skip` leaves a run out whose predecessor has not ended.")
    paused: bool | None = Field(None, description="Where nothing is said: as it was, and at first not.")
    user: Label | None = Field(None, description="On whose behalf.")
    conversation: Label | None = None
    context: dict[str, Any] | None = Field(None, description="The application's own values; the model never sees them.")
    timeout: Timeout | None = None
    queue_timeout: Deadline | None = None
    deadline: Deadline | None = None


class FiringModel(BaseModel):
    """The newest run that was started."""

    slot: str = Field(description="When it was due.")
    call_id: str
    fired_at: str


class FailureModel(BaseModel):
    """Why the newest run was not started."""

    slot: str
    code: str
    message: str


class ScheduleModel(BaseModel):
    """A schedule."""

    schedule_id: str
    name: str
    version: int
    tool: str
    arguments: dict[str, Any]
    cron: str | None = None
    timezone: str | None = None
    every: float | None = None
    start_at: str | None = None
    missed: Missed
    catch_up: int | None = None
    overlap: Overlap
    paused: bool
    user: str | None = None
    conversation: str | None = None
    context: dict[str, Any] | None = None
    timeout: float | None = None
    queue_timeout: float | None = None
    deadline: float | None = None
    created_by: str
    created_at: str
    updated_at: str
    next_at: str | None = None
    next_runs: list[str] | None = Field(None, description="The next five; not in lists.")
    last: FiringModel | None = None
    last_error: FailureModel | None = None
    left_out: int = Field(description="Runs that were left out because the one before had not ended.")


class SchedulePage(BaseModel):
    """A piece of the list of schedules."""

    items: list[ScheduleModel]
    next_cursor: str | None


class DeadLetterModel(BaseModel):
    """A message that did not verify or decode."""

    letter_id: str
    reason: str
    exchange: str
    key: str
    message_id: str
    headers: dict[str, Any] = Field(description="As they came, the signature among them.")
    size: int = Field(description="Bytes of its body.")
    complete: bool = Field(description="All of it is kept, so that it can be replayed.")
    arrived_at: str
    arrivals: int = Field(description="More than one: it came back after a replay, or was put away twice.")
    body: str | None = Field(None, description="Where it is UTF-8 text; not in lists.")
    body_base64: str | None = Field(None, description="Where it is not.")


class DeadLetterPage(BaseModel):
    """A piece of the list of dead letters."""

    items: list[DeadLetterModel]
    next_cursor: Annotated[str | None, Field()]


class Replayed(BaseModel):
    """A dead letter that was published again, as it had come."""

    letter_id: str
    replayed: Literal[True]
