"""Nobody counts any more how often a call was found unfinished: the broker's count of deliveries is enough."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Drop the count."""
    op.drop_table("redeliveries")


def downgrade() -> None:
    """Make it again, empty."""
    op.create_table(
        "redeliveries",
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
    )
