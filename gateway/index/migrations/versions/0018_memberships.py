"""Since when an archive belongs to which group. `fhir-anchor upgrade` writes down the joins that there are."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "membership",
        sa.Column("row", KEY, primary_key=True, autoincrement=False),
        sa.Column("archive", KEY, sa.ForeignKey("archive.row"), nullable=False),
        sa.Column("root", KEY, sa.ForeignKey("archive.row"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("tag", sa.LargeBinary(), nullable=False),
    )
    op.create_index("membership_archive", "membership", ["archive"])
    op.create_index("membership_root", "membership", ["root"])
