"""Erasures whose traces in the database's files are still to be taken out."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "uncleaned",
        sa.Column("token", sa.LargeBinary(), primary_key=True),
        sa.Column("archives", sa.Integer(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sqlite_with_rowid=False,
    )
