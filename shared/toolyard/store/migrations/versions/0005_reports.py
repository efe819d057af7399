"""What a worker noted of the attempt that ended a call: logs, isolation, what it used."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the column; calls of before have none."""
    op.add_column("calls", sa.Column("report", sa.Text))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("calls", "report")
