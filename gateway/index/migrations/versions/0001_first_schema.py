"""The first schema: parties, archives, records, containers, tokens, outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "co_archive",
        sa.Column("archive", KEY, nullable=False),
        sa.Column("resource", KEY, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("archive", "resource", "version"),
        sqlite_with_rowid=False,
    )
    op.create_index("co_archive_resource", "co_archive", ["resource"], unique=False)
    op.create_table(
        "code",
        sa.Column("archive", KEY, nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("resource", KEY, nullable=False),
        sa.PrimaryKeyConstraint("archive", "token", "resource"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "container",
        sa.Column("row", KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("bundles", sa.Integer(), nullable=False),
        sa.Column("leaves", sa.Integer(), nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "history",
        sa.Column("row", KEY, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.SmallInteger(), nullable=False),
        sa.Column("issuer", KEY, nullable=False),
        sa.Column("archive", KEY, nullable=True),
        sa.Column("bundle", KEY, nullable=True),
        sa.Column("leaf", sa.Integer(), nullable=True),
        sa.Column("updated_ms", sa.BigInteger(), nullable=True),
        sa.Column("start", sa.BigInteger(), nullable=True),
        sa.Column("end", sa.BigInteger(), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("row", "version"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "identifier",
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("resource", KEY, nullable=False),
        sa.PrimaryKeyConstraint("token", "resource"),
        sqlite_with_rowid=False,
    )
    op.create_index("identifier_resource", "identifier", ["resource"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "party",
        sa.Column("row", KEY, nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("signing", sa.Text(), nullable=False),
        sa.Column("jwks", sa.Text(), nullable=False),
        sa.Column("signing_key", sa.LargeBinary(), nullable=True),
        sa.Column("attestation_key", sa.LargeBinary(), nullable=True),
        sa.Column("attestation_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("archive", KEY, nullable=True),
        sa.Column("created_at", KEY, nullable=False),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("client_id"),
    )
    op.create_table(
        "resource",
        sa.Column("row", KEY, nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.SmallInteger(), nullable=False),
        sa.Column("issuer", KEY, nullable=False),
        sa.Column("archive", KEY, nullable=True),
        sa.Column("bundle", KEY, nullable=True),
        sa.Column("leaf", sa.Integer(), nullable=True),
        sa.Column("updated_ms", sa.BigInteger(), nullable=True),
        sa.Column("start", sa.BigInteger(), nullable=True),
        sa.Column("end", sa.BigInteger(), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("row"),
    )
    op.create_index(
        "resource_archive_type_start",
        "resource",
        ["archive", "type", "start"],
        unique=False,
        sqlite_where=sa.text("archive IS NOT NULL"),
        postgresql_where=sa.text("archive IS NOT NULL"),
    )
    op.create_index(
        "resource_reserved",
        "resource",
        ["issuer"],
        unique=False,
        sqlite_where=sa.text("version = 0"),
        postgresql_where=sa.text("version = 0"),
    )
    op.create_table(
        "secret",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sequence",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "source_map",
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("resource", KEY, nullable=False),
        sa.PrimaryKeyConstraint("token", "type"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "archive",
        sa.Column("row", KEY, nullable=False),
        sa.Column("directory_of", KEY, nullable=True),
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("suite", sa.SmallInteger(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_seed", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("next_number", sa.BigInteger(), nullable=False),
        sa.Column("joined_to", KEY, nullable=True),
        sa.Column("created_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["directory_of"],
            ["party.row"],
        ),
        sa.ForeignKeyConstraint(
            ["joined_to"],
            ["archive.row"],
        ),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("directory_of"),
        sa.UniqueConstraint("key_id"),
    )
    op.create_table(
        "jti",
        sa.Column("party", KEY, nullable=False),
        sa.Column("jti", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["party"],
            ["party.row"],
        ),
        sa.PrimaryKeyConstraint("party", "jti"),
        sqlite_with_rowid=False,
    )
    op.create_index("jti_expires_at", "jti", ["expires_at"], unique=False)
    op.create_table(
        "submission",
        sa.Column("party", KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("container", KEY, nullable=True),
        sa.Column("written", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["container"],
            ["container.row"],
        ),
        sa.ForeignKeyConstraint(
            ["party"],
            ["party.row"],
        ),
        sa.PrimaryKeyConstraint("party", "digest"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "bundle",
        sa.Column("row", KEY, nullable=False),
        sa.Column("container", KEY, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("archive", KEY, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("leaves", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["archive"],
            ["archive.row"],
        ),
        sa.ForeignKeyConstraint(
            ["container"],
            ["container.row"],
        ),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("archive", "number"),
        sa.UniqueConstraint("container", "ordinal"),
    )
