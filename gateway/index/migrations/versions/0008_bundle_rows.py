"""What points to a bundle: the audit of content asks for it a run of bundles at a time."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("resource_bundle", "resource", ["bundle"], unique=False)
    op.create_index("history_bundle", "history", ["bundle"], unique=False)
