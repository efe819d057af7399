"""The tables, as the newest migration leaves them. Times are seconds since 1970; JSON is kept as text.

JSON text escapes NUL and is never parsed by the database, so that no answer of a tool can stop a write.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    text,
)

metadata = MetaData()


def _where(condition: str) -> dict[str, Any]:
    """An index over these rows alone, for both databases."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


#: The ledger's projection, one row a call: ``call`` is the accepted `Call`, what is searched by stands beside it.
calls = Table(
    "calls",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("org", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("pool", Text, nullable=False),
    Column("gateway", Text, nullable=False),
    Column("body_hash", Text, nullable=False),
    Column("conversation", Text),
    Column("caller", Text),  # the call's user: "user" is a word of SQL
    Column("accepted_at", Double, nullable=False),
    Column("deadline", Double, nullable=False),
    Column("log_offset", BigInteger),  # of its newest message, accepted or dispatched; null as long as none was seen
    Column("state", Text, nullable=False),
    Column("effect", Text, nullable=False),
    Column("attempt", Integer, nullable=False),  # the newest that was dispatched
    Column("attempts", Integer, nullable=False),  # that started
    Column("started_at", Double),
    Column("finished_at", Double),  # null as long as the call has not ended
    Column("ending", Boolean, nullable=False),
    Column("end_sequence", BigInteger),  # of the event that ended it
    Column("late_results", Integer, nullable=False),
    Column("submitters", Integer, nullable=False),  # accepted records that differ: by gateway or by body
    Column("call", Text, nullable=False),
    Column("result", Text),
    Column("error", Text),
    Column("report", Text),
    # What follows is touched by calls that are out of the ordinary alone; `toolyard.store.ledger_rows` tells the words.
    Column("holder", Text),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("runs_until", Double),
    Column("alone", Boolean, nullable=False, server_default=false()),
    Column("refused", Boolean, nullable=False, server_default=false()),
    Column("spent", Text),
    Column("ending_claim", Text),
    Column("settled", Boolean, nullable=False, server_default=false()),
    Column("doomed", Text),
    Column("watch_at", Double),
    Column("due_at", Double),
    Column("parked_for", Text),
    Column("queue_due", Double),
    Column("deaths", Integer, nullable=False, server_default="0"),
    Column("waived", Integer, nullable=False, server_default="0"),
    Column("diverted", Boolean, nullable=False, server_default=false()),
    Column("consent", Text),  # JSON of the authorization that it waits for
    Column("awaits", Text),  # which one that is
    Index("calls_by_time", "org", "accepted_at", "call_id"),
    Index("calls_by_tool", "org", "tool", "accepted_at", "call_id"),
    Index(
        "calls_by_conversation",
        "org",
        "conversation",
        "accepted_at",
        **_where("conversation IS NOT NULL"),
    ),
    Index("calls_open", "deadline", **_where("finished_at IS NULL")),
    Index("calls_due", "due_at", **_where("due_at IS NOT NULL")),
    Index("calls_watched", "watch_at", **_where("watch_at IS NOT NULL")),
    Index("calls_held", "holder", **_where("holder IS NOT NULL")),
    Index("calls_paused", "org", "tool", **_where("parked_for = 'paused'")),
    Index("calls_awaiting", "org", "awaits", **_where("awaits IS NOT NULL")),
)

#: What users were asked to consent to: a projection of the log, as the calls are. Words as in `Authorization`.
authorizations = Table(
    "authorizations",
    metadata,
    Column("org", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("authorization_id", Text, primary_key=True),
    Column("caller", Text, nullable=False),  # the user who is asked
    Column("tool", Text, nullable=False),  # of the call that asked
    Column("call_id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # a JSON array
    Column("status", Text, nullable=False),  # pending, completed, failed, expired
    Column("created_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("authorizations_of_user", "org", "caller", "created_at"),
    Index("authorizations_pending", "expires_at", **_where("status = 'pending'")),
)

#: What is paused: tools, pools and orgs; ``org`` and ``name`` as in `toolyard.contracts.control.Pause`.
pauses = Table(
    "pauses",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("org", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("paused_at", Double, nullable=False),
)

#: Further submissions of one call: by other gateways, or with another body.
submissions = Table(
    "submissions",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("gateway", Text, primary_key=True),
    Column("body_hash", Text, primary_key=True),
    Column("submitted_at", Double, nullable=False),
    Column("conflict", Boolean, nullable=False),
)

#: Where the ledger stands: one row. ``epoch`` counts its owners, ``beat`` shows that the owner lives.
ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("log_offset", BigInteger, nullable=False),  # of the newest record that was applied; -1 before the first
    Column("record_id", Text, nullable=False),
    Column("record_time", Double, nullable=False),
    Column("owner", Text),
    Column("epoch", BigInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),
)

#: The version of the oldest tables whose builds get along with these.
compatibility = Table(
    "compatibility",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("oldest", Text, nullable=False),
)

#: How far the log was published to followers at the broker; null as long as nobody has begun.
feed = Table(
    "feed",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("log_offset", BigInteger),
)

tools = Table(
    "tools",
    metadata,
    Column("org", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),  # the newest; stays and goes on counting after a deletion
    Column("toolkit", Text),
    Column("search", Text, nullable=False),  # name, title and description without case
    Column("deleted_at", Double),
)

tool_versions = Table(
    "tool_versions",
    metadata,
    Column("org", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("spec", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("org", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("roles", Text, nullable=False),  # separated by blanks
    Column("secret_hash", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("broker_user", Text),  # of the broker, whose messages are this key's
    Index("api_keys_by_time", "org", "created_at", "key_id"),
    Index(
        "api_keys_by_broker_user",
        "broker_user",
        unique=True,
        **_where("broker_user IS NOT NULL AND revoked_at IS NULL"),
    ),
)

#: Secrets, one row a version. Only the newest one has a value, and none where it was deleted: what nobody reads any
#: more is not kept. Its rows stay, so that versions go on counting.
secrets = Table(
    "secrets",
    metadata,
    Column("org", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("key_id", Text),  # of the key that opens it; null where there is nothing to open
    Column("sealed", LargeBinary),
    Column("created_at", Double, nullable=False),
    Column("created_by", Text, nullable=False),  # a key's id
    Column("deleted", Boolean, nullable=False),
    Index("secrets_sealed", "key_id", "org", "name", **_where("key_id IS NOT NULL")),
)

#: The log of the embedded transport.
log = Table(
    "log",
    metadata,
    Column("log_offset", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("message_id", Text, nullable=False),
    Column("exchange", Text, nullable=False),
    Column("routing_key", Text, nullable=False),
    Column("headers", Text, nullable=False),
    Column("expiration", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("appended_at", Double),  # null for records older than this column
)

#: What is called again and again. ``next_at`` is null while it is paused, or will never fire again.
schedules = Table(
    "schedules",
    metadata,
    Column("schedule_id", Text, primary_key=True),
    Column("org", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("spec", Text, nullable=False),
    Column("created_by", Text, nullable=False),  # a key's id
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("next_at", Double),
    Column("last_firing", Text),
    Column("failure", Text),  # of its newest slot
    Column("left_out", Integer, nullable=False),  # slots whose predecessor had not ended
    Index("schedules_by_name", "org", "name", unique=True),
    Index("schedules_due", "next_at"),
)

#: Whom orgs want told what happens. Their secrets are among the secrets; `toolyard.store.webhooks` tells the words.
webhooks = Table(
    "webhooks",
    metadata,
    Column("webhook_id", Text, primary_key=True),
    Column("org", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),  # a JSON array
    Column("tools", Text, nullable=False),  # a JSON array
    Column("description", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", Text),
    Column("version", Integer, nullable=False),
    Column("secret_id", Text, nullable=False),
    Column("previous_secret_id", Text),
    Column("rotated_at", Double),
    Column("created_by", Text, nullable=False),  # a key's id
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("feed_offset", BigInteger, nullable=False),
    Column("feed_n", Integer, nullable=False),
    Column("failing_since", Double),
    Column("last_success_at", Double),
    Index("webhooks_by_time", "org", "created_at", "webhook_id"),
)

#: What became of events for webhooks: all that are tried again, and some of those that are not.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("webhook_id", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("event_type", Text, nullable=False),
    Column("happened_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("body", LargeBinary),  # null where it is not sent again
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("next_at", Double),  # null where it is not tried again
    Index("webhook_deliveries_due", "webhook_id", "next_at", **_where("next_at IS NOT NULL")),
    Index("webhook_deliveries_by_time", "webhook_id", "changed_at", "event_id"),
)

#: What did not verify or decode, as it came: enough to publish it once more, unless it was too long to be kept whole.
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("letter_id", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("exchange", Text, nullable=False),
    Column("routing_key", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("headers", Text, nullable=False),
    Column("expiration", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),  # of the body, before it was cut
    Column("complete", Boolean, nullable=False),  # nothing of it was cut or lost
    Column("arrived_at", Double, nullable=False),
    Column("arrivals", Integer, nullable=False),
    Index("dead_letters_by_time", "arrived_at", "letter_id"),
)
