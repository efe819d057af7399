"""Calls whose tools' fallbacks have taken over."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the column."""
    op.add_column("calls", sa.Column("diverted", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("calls", "diverted")
