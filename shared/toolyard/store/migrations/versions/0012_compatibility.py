"""Which older versions still get along with these tables."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the table, and its one row.

    Every later migration that takes away what an older version uses sets ``oldest`` forward (docs/decisions/0035).
    """
    compatibility = op.create_table(
        "compatibility",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("oldest", sa.Text, nullable=False),
    )
    op.bulk_insert(compatibility, [{"id": 1, "oldest": revision}])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("compatibility")
