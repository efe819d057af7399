"""How far the log was published to followers at the broker."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the table, and its one row: nobody has begun."""
    feed = op.create_table(
        "feed",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("log_offset", sa.BigInteger),
    )
    op.bulk_insert(feed, [{"id": 1, "log_offset": None}])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("feed")
