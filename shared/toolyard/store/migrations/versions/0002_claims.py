"""Claims, parking, verdicts in two steps and pauses: what the ledger keeps of a call that is out of the ordinary."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COLUMNS = (
    ("holder", sa.Text, None),
    ("fence", sa.Integer, "0"),
    ("runs_until", sa.Double, None),
    ("alone", sa.Boolean, sa.false()),
    ("refused", sa.Boolean, sa.false()),
    ("spent", sa.Text, None),
    ("ending_claim", sa.Text, None),
    ("settled", sa.Boolean, sa.false()),
    ("doomed", sa.Text, None),
    ("watch_at", sa.Double, None),
    ("due_at", sa.Double, None),
    ("parked_for", sa.Text, None),
    ("queue_due", sa.Double, None),
    ("deaths", sa.Integer, "0"),
)
_INDEXES = (
    ("calls_due", ["due_at"], "due_at IS NOT NULL"),
    ("calls_watched", ["watch_at"], "watch_at IS NOT NULL"),
    ("calls_held", ["holder"], "holder IS NOT NULL"),
    ("calls_paused", ["org", "tool"], "parked_for = 'paused'"),
)


def upgrade() -> None:
    """Add the columns, whose defaults are right for every call that is there, and the table of pauses."""
    for name, kind, default in _COLUMNS:
        op.add_column("calls", sa.Column(name, kind, nullable=default is None, server_default=default))
    for name, columns, condition in _INDEXES:
        where = sa.text(condition)
        op.create_index(name, "calls", columns, postgresql_where=where, sqlite_where=where)
    op.create_table(
        "pauses",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("org", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("paused_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("pauses")
    for name, _, _ in _INDEXES:
        op.drop_index(name, "calls")
    with op.batch_alter_table("calls") as calls:
        for name, _, _ in _COLUMNS:
            calls.drop_column(name)
