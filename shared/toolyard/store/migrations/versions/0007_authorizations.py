"""What users are asked to consent to, and the calls that wait for it; attempts that tried nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table, and the columns of the calls."""
    op.add_column("calls", sa.Column("waived", sa.Integer, nullable=False, server_default="0"))
    op.add_column("calls", sa.Column("consent", sa.Text))
    op.add_column("calls", sa.Column("awaits", sa.Text))
    waiting = sa.text("awaits IS NOT NULL")
    op.create_index("calls_awaiting", "calls", ["org", "awaits"], postgresql_where=waiting, sqlite_where=waiting)
    op.create_table(
        "authorizations",
        sa.Column("org", sa.Text, primary_key=True),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("authorization_id", sa.Text, primary_key=True),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.create_index("authorizations_of_user", "authorizations", ["org", "caller", "created_at"])
    pending = sa.text("status = 'pending'")
    op.create_index(
        "authorizations_pending", "authorizations", ["expires_at"], postgresql_where=pending, sqlite_where=pending
    )


def downgrade() -> None:
    """Take them away: calls that wait end at their deadlines."""
    op.drop_table("authorizations")
    op.drop_index("calls_awaiting", "calls")
    for name in ("awaits", "consent", "waived"):
        op.drop_column("calls", name)
