"""The tables of ledger.db as SQLAlchemy Core sees them. Their layout is decided by `migrations/`, where the columns are explained."""

from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()

chain = Table("chain", metadata, Column("chain_id", LargeBinary, primary_key=True))

block = Table(
    "block",
    metadata,
    Column("height", Integer, primary_key=True),
    Column("log_size", Integer, nullable=False),
    Column("header", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("votes", LargeBinary, nullable=False),
)

log_entry = Table(
    "log_entry",
    metadata,
    Column("log_index", Integer, primary_key=True),
    Column("raw", LargeBinary, nullable=False),
)

log_tile = Table(
    "log_tile",
    metadata,
    Column("level", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("hashes", LargeBinary, nullable=False),
)

state_entry = Table(
    "state_entry",
    metadata,
    Column("bucket", Integer, primary_key=True),
    Column("entry_key", LargeBinary, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

transaction_index = Table(
    "transaction_index",
    metadata,
    Column("tx_id", LargeBinary, primary_key=True),
    Column("log_index", Integer, nullable=False),
    Column("party", LargeBinary),
    Column("source", Integer),
)

proposal = Table(
    "proposal",
    metadata,
    Column("height", Integer, primary_key=True),
    Column("header", LargeBinary, nullable=False),
    Column("transactions", LargeBinary, nullable=False),
    Column("signature", LargeBinary),
)

pool = Table(
    "pool",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("source", Integer, nullable=False),
    Column("tx_id", LargeBinary, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

rejected = Table(
    "rejected",
    metadata,
    Column("source", Integer, primary_key=True),
    Column("tx_id", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("height", Integer, nullable=False),
)
