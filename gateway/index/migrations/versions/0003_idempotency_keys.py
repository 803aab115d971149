"""Keys by which clients name their requests, each for a while."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "idempotency_key",
        sa.Column("party", KEY, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("written", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(["party"], ["party.row"]),
        sa.PrimaryKeyConstraint("party", "key"),
        sqlite_with_rowid=False,
    )
    op.create_index("idempotency_key_expires_at", "idempotency_key", ["expires_at"], unique=False)
