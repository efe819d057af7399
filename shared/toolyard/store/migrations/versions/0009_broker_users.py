"""Keys that stand for users of the broker."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_VALID = sa.text("broker_user IS NOT NULL AND revoked_at IS NULL")


def upgrade() -> None:
    """Make the column, and let one key that is not revoked stand for a user."""
    op.add_column("api_keys", sa.Column("broker_user", sa.Text))
    op.create_index(
        "api_keys_by_broker_user",
        "api_keys",
        ["broker_user"],
        unique=True,
        sqlite_where=_VALID,
        postgresql_where=_VALID,
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_index("api_keys_by_broker_user", "api_keys")
    op.drop_column("api_keys", "broker_user")
