"""Tags of what waits for the ledger, of directory links and of the review queue. `fhir-anchor upgrade` gives existing rows theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    for table in ("outbox", "directory_link", "review"):
        op.add_column(table, sa.Column("tag", sa.LargeBinary(), nullable=True))
