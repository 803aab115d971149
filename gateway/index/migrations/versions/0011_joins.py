"""Who Patients say they are, sealed, and the queue of what an operator is to look at."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    is_joined = sa.text("joined_to IS NOT NULL")
    op.create_index("archive_joined_to", "archive", ["joined_to"], unique=False, sqlite_where=is_joined, postgresql_where=is_joined)
    op.create_table(
        "person",
        sa.Column("resource", KEY, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("resource"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "review",
        sa.Column("row", KEY, nullable=False),
        sa.Column("archive", KEY, nullable=False),
        sa.Column("other", KEY, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ground", sa.LargeBinary(), nullable=False),
        sa.Column("opened_at", KEY, nullable=False),
        sa.Column("decided_at", KEY, nullable=True),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("decided_number", sa.Integer(), nullable=True),
        sa.Column("parted_at", KEY, nullable=True),
        sa.ForeignKeyConstraint(["archive"], ["archive.row"]),
        sa.ForeignKeyConstraint(["other"], ["archive.row"]),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("archive", "other", "ground"),
    )
