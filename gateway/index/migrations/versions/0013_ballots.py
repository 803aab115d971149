"""What delegates elsewhere have signed."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "ballot",
        sa.Column("delegate", sa.LargeBinary(), nullable=False),
        sa.Column("duty", sa.Text(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("delegate", "duty"),
        sqlite_with_rowid=False,
    )
