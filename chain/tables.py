"""The tables of ledger.db as SQLAlchemy Core sees them. Their layout is decided by `migrations/`, where the columns are explained."""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.sql.type_api import TypeEngine

metadata = MetaData()

# 64 bits everywhere; SQLite calls that INTEGER.
Number: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")

chain = Table("chain", metadata, Column("chain_id", LargeBinary, primary_key=True))

block = Table(
    "block",
    metadata,
    Column("height", Number, primary_key=True),
    Column("log_size", Number, nullable=False),
    Column("header", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("votes", LargeBinary, nullable=False),
)

log_entry = Table(
    "log_entry",
    metadata,
    Column("log_index", Number, primary_key=True),
    Column("raw", LargeBinary, nullable=False),
)

log_tile = Table(
    "log_tile",
    metadata,
    Column("level", Number, primary_key=True),
    Column("number", Number, primary_key=True),
    Column("hashes", LargeBinary, nullable=False),
)

state_entry = Table(
    "state_entry",
    metadata,
    Column("bucket", Number, primary_key=True),
    Column("entry_key", LargeBinary, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

state_tile = Table(
    "state_tile",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

transaction_index = Table(
    "transaction_index",
    metadata,
    Column("tx_prefix", LargeBinary, primary_key=True),
    Column("log_index", Number, primary_key=True, autoincrement=False),
)

party_history = Table(
    "party_history",
    metadata,
    Column("party", LargeBinary, primary_key=True),
    Column("log_index", Number, primary_key=True, autoincrement=False),
)

recorded_source = Table("recorded_source", metadata, Column("source", Number, primary_key=True, autoincrement=False))

proposal = Table(
    "proposal",
    metadata,
    Column("height", Number, primary_key=True),
    Column("header", LargeBinary, nullable=False),
    Column("transactions", LargeBinary, nullable=False),
    Column("signature", LargeBinary),
)

pool = Table(
    "pool",
    metadata,
    Column("number", Number, primary_key=True),
    Column("source", Number, nullable=False),
    Column("tx_id", LargeBinary, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

rejected = Table(
    "rejected",
    metadata,
    Column("source", Number, primary_key=True),
    Column("tx_id", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("height", Number, nullable=False),
)

pack = Table(
    "pack", metadata, Column("number", Number, primary_key=True, autoincrement=False), Column("digest", LargeBinary, nullable=False)
)

beginning = Table("beginning", metadata, Column("height", Number, primary_key=True))

lease = Table(
    "lease",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("holder", Text, nullable=False),
    Column("fence", Number, nullable=False),
    Column("expires_ms", Number, nullable=False),
)

watermark = Table(
    "watermark",
    metadata,
    Column("delegate", LargeBinary, primary_key=True),
    Column("duty", Text, primary_key=True),
    Column("height", Number, nullable=False),
    Column("block_hash", LargeBinary, nullable=False),
)
