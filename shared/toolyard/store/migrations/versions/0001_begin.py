"""The first tables: calls and the ledger's place, tools, keys, the embedded log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make everything."""
    _calls()
    _ledger()
    _tools()
    _keys()
    _log()


def downgrade() -> None:
    """Drop everything."""
    for table in ("log", "api_keys", "tool_versions", "tools", "redeliveries", "ledger", "submissions", "calls"):
        op.drop_table(table)


def _calls() -> None:
    op.create_table(
        "calls",
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("org", sa.Text, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("pool", sa.Text, nullable=False),
        sa.Column("gateway", sa.Text, nullable=False),
        sa.Column("body_hash", sa.Text, nullable=False),
        sa.Column("conversation", sa.Text),
        sa.Column("caller", sa.Text),
        sa.Column("accepted_at", sa.Double, nullable=False),
        sa.Column("deadline", sa.Double, nullable=False),
        sa.Column("log_offset", sa.BigInteger),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("effect", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("ending", sa.Boolean, nullable=False),
        sa.Column("end_sequence", sa.BigInteger),
        sa.Column("late_results", sa.Integer, nullable=False),
        sa.Column("submitters", sa.Integer, nullable=False),
        sa.Column("call", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("error", sa.Text),
    )
    op.create_index("calls_by_time", "calls", ["org", "accepted_at", "call_id"])
    op.create_index("calls_by_tool", "calls", ["org", "tool", "accepted_at", "call_id"])
    talks, is_open = sa.text("conversation IS NOT NULL"), sa.text("finished_at IS NULL")
    op.create_index(
        "calls_by_conversation",
        "calls",
        ["org", "conversation", "accepted_at"],
        postgresql_where=talks,
        sqlite_where=talks,
    )
    op.create_index("calls_open", "calls", ["deadline"], postgresql_where=is_open, sqlite_where=is_open)
    op.create_table(
        "submissions",
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("gateway", sa.Text, primary_key=True),
        sa.Column("body_hash", sa.Text, primary_key=True),
        sa.Column("submitted_at", sa.Double, nullable=False),
        sa.Column("conflict", sa.Boolean, nullable=False),
    )


def _ledger() -> None:
    place = op.create_table(
        "ledger",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("log_offset", sa.BigInteger, nullable=False),
        sa.Column("record_id", sa.Text, nullable=False),
        sa.Column("record_time", sa.Double, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
    )
    nowhere = {"id": 1, "log_offset": -1, "record_id": "", "record_time": 0.0, "owner": None, "epoch": 0, "beat": 0}
    op.bulk_insert(place, [nowhere])
    op.create_table(
        "redeliveries",
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
    )


def _tools() -> None:
    op.create_table(
        "tools",
        sa.Column("org", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("toolkit", sa.Text),
        sa.Column("search", sa.Text, nullable=False),
        sa.Column("deleted_at", sa.Double),
    )
    op.create_table(
        "tool_versions",
        sa.Column("org", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("org", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("revoked_at", sa.Double),
    )
    op.create_index("api_keys_by_time", "api_keys", ["org", "created_at", "key_id"])


def _log() -> None:
    offset = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "log",
        sa.Column("log_offset", offset, primary_key=True, autoincrement=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("exchange", sa.Text, nullable=False),
        sa.Column("routing_key", sa.Text, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("expiration", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
