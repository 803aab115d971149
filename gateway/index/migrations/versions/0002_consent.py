"""Consents: what patients granted, to whom, in which order."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "consent_grant",
        sa.Column("row", KEY, nullable=False),
        sa.Column("grant_id", sa.LargeBinary(), nullable=False),
        sa.Column("archive", KEY, nullable=False),
        sa.Column("grantee", KEY, nullable=False),
        sa.Column("types", sa.Text(), nullable=False),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("rights", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at_sequence", sa.BigInteger(), nullable=True),
        sa.Column("granted_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["archive"], ["archive.row"]),
        sa.ForeignKeyConstraint(["grantee"], ["party.row"]),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("grant_id"),
        sa.UniqueConstraint("revoked_at_sequence"),
        sa.UniqueConstraint("sequence"),
    )
    op.create_index("consent_grant_archive", "consent_grant", ["archive", "content"], unique=False)
    op.create_index("consent_grant_grantee", "consent_grant", ["grantee", "archive"], unique=False)
