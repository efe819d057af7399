"""Recurring schedules, dead letters, and when a record of the embedded log was appended."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables, and the column."""
    _schedules()
    _dead_letters()
    op.add_column("log", sa.Column("appended_at", sa.Double))


def downgrade() -> None:
    """Take them away again."""
    with op.batch_alter_table("log") as log:
        log.drop_column("appended_at")
    op.drop_table("dead_letters")
    op.drop_table("schedules")


def _schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("schedule_id", sa.Text, primary_key=True),
        sa.Column("org", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("next_at", sa.Double),
        sa.Column("last_firing", sa.Text),
        sa.Column("failure", sa.Text),
        sa.Column("left_out", sa.Integer, nullable=False),
    )
    op.create_index("schedules_by_name", "schedules", ["org", "name"], unique=True)
    op.create_index("schedules_due", "schedules", ["next_at"])


def _dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("letter_id", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("exchange", sa.Text, nullable=False),
        sa.Column("routing_key", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("expiration", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("arrived_at", sa.Double, nullable=False),
        sa.Column("arrivals", sa.Integer, nullable=False),
    )
    op.create_index("dead_letters_by_time", "dead_letters", ["arrived_at", "letter_id"])
