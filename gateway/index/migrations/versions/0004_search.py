"""All of one type that a party issued, in the order of rows: a search of one's own that names no patient."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("resource_issuer_type", "resource", ["issuer", "type", "row"], unique=False)
