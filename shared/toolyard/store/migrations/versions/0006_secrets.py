"""Secrets of orgs, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "secrets",
        sa.Column("org", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key_id", sa.Text),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
    )
    here = sa.text("key_id IS NOT NULL")
    op.create_index("secrets_sealed", "secrets", ["key_id", "org", "name"], postgresql_where=here, sqlite_where=here)


def downgrade() -> None:
    """Take it away, and all secrets with it."""
    op.drop_table("secrets")
