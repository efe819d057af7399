"""Webhooks, and what became of their deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", sa.Text, primary_key=True),
        sa.Column("org", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", sa.Text, nullable=False),
        sa.Column("tools", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("secret_id", sa.Text, nullable=False),
        sa.Column("previous_secret_id", sa.Text),
        sa.Column("rotated_at", sa.Double),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("feed_offset", sa.BigInteger, nullable=False),
        sa.Column("feed_n", sa.Integer, nullable=False),
        sa.Column("failing_since", sa.Double),
        sa.Column("last_success_at", sa.Double),
    )
    op.create_index("webhooks_by_time", "webhooks", ["org", "created_at", "webhook_id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("webhook_id", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("event_type", sa.Text, nullable=False),
        sa.Column("happened_at", sa.Double, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("next_at", sa.Double),
    )
    here = sa.text("next_at IS NOT NULL")
    due = ["webhook_id", "next_at"]
    op.create_index("webhook_deliveries_due", "webhook_deliveries", due, postgresql_where=here, sqlite_where=here)
    op.create_index("webhook_deliveries_by_time", "webhook_deliveries", ["webhook_id", "changed_at", "event_id"])


def downgrade() -> None:
    """Take them away."""
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
