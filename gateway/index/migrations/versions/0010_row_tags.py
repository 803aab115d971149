"""Tags of the rows that are believed as they stand. Existing rows have none: `fhir-anchor upgrade` gives them theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("party", sa.Column("tag", sa.LargeBinary(), nullable=True))
    op.add_column("archive", sa.Column("tag", sa.LargeBinary(), nullable=True))
