"""What a consent makes an exception of, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("consent_grant", sa.Column("exceptions_sealed", sa.LargeBinary(), nullable=True))
