"""Accesses by the grant that they rest on: what a patient is shown."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_index("access_consent", "access", ["consent", "sequence"], unique=False)
