"""What of a directory was referred to by a record that a party was given."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "directory_link",
        sa.Column("resource", KEY, nullable=False),
        sa.Column("party", KEY, nullable=False),
        sa.Column("consent", KEY, nullable=False),
        sa.ForeignKeyConstraint(["party"], ["party.row"]),
        sa.PrimaryKeyConstraint("resource", "party", "consent"),
        sqlite_with_rowid=False,
    )
