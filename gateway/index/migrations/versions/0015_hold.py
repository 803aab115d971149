"""Archives that must not be erased."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "hold",
        sa.Column("archive", KEY, sa.ForeignKey("archive.row"), primary_key=True),
        sa.Column("held_at", sa.BigInteger(), nullable=False),
    )
