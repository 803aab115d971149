"""Restores from a backup."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "restore",
        sa.Column("row", KEY, primary_key=True),
        sa.Column("restored_at", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("log_size", sa.BigInteger(), nullable=False),
        sa.Column("ledger_size", sa.BigInteger(), nullable=False),
        sa.Column("last_archive", KEY, nullable=False),
        sa.Column("first_lost", sa.BigInteger(), nullable=False),
        sa.Column("last_lost", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger()),
        sa.Column("tag", sa.LargeBinary(), nullable=False),
    )
