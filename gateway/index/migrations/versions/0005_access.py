"""Accesses: what left by a grant, to whom, in which order, and which of it is in a batch."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "access",
        sa.Column("sequence", KEY, autoincrement=False, nullable=False),
        sa.Column("party", KEY, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("consent", KEY, nullable=False),
        sa.Column("accessed_ms", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("records", sa.LargeBinary(), nullable=False),
        sa.Column("batch", KEY, nullable=True),
        sa.ForeignKeyConstraint(["party"], ["party.row"]),
        sa.ForeignKeyConstraint(["consent"], ["consent_grant.row"]),
        sa.PrimaryKeyConstraint("sequence"),
    )
    is_open = sa.text("batch IS NULL")
    op.create_index("access_open", "access", ["sequence"], unique=False, sqlite_where=is_open, postgresql_where=is_open)
