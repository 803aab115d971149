-- The ledger's first layout. Never edited; what follows has a file of its own.
CREATE TABLE chain (                      -- one row: which chain this is
    chain_id BLOB NOT NULL PRIMARY KEY
);
CREATE TABLE block (
    height INTEGER NOT NULL PRIMARY KEY,
    log_size INTEGER NOT NULL,            -- after the block, as in the header
    header BLOB NOT NULL,
    signature BLOB NOT NULL,              -- the producer's
    votes BLOB NOT NULL                   -- CBOR [[delegate, signature], ...]
);
CREATE INDEX block_log_size ON block (log_size);
CREATE TABLE log_entry (                  -- the log itself
    log_index INTEGER NOT NULL PRIMARY KEY,
    raw BLOB NOT NULL
);
CREATE TABLE log_tile (                   -- derived: hashes of the log's tree, 256 a row
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (level, number)
) WITHOUT ROWID;
CREATE TABLE state_entry (                -- derived: the state after the last block
    bucket INTEGER NOT NULL,
    entry_key BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (bucket, entry_key)
) WITHOUT ROWID;
CREATE TABLE transaction_index (          -- derived, but for source
    tx_id BLOB NOT NULL PRIMARY KEY,
    log_index INTEGER NOT NULL,
    party BLOB,                           -- entry key of the party a PARTY is about
    source INTEGER                        -- who submitted it here
) WITHOUT ROWID;
CREATE INDEX transaction_index_party ON transaction_index (party, log_index) WHERE party IS NOT NULL;
CREATE UNIQUE INDEX transaction_index_source ON transaction_index (source) WHERE source IS NOT NULL;
CREATE TABLE proposal (                   -- at most one row: the block that is not final yet
    height INTEGER NOT NULL PRIMARY KEY,
    header BLOB NOT NULL,
    transactions BLOB NOT NULL,           -- CBOR [transaction, ...]
    signature BLOB                        -- null until the producer has signed
);
CREATE TABLE pool (
    number INTEGER NOT NULL PRIMARY KEY,  -- the order of arrival
    source INTEGER NOT NULL UNIQUE,
    tx_id BLOB NOT NULL,
    raw BLOB NOT NULL
);
CREATE TABLE rejected (                   -- what was submitted and will not be recorded
    source INTEGER NOT NULL PRIMARY KEY,
    tx_id BLOB NOT NULL,
    reason TEXT NOT NULL,
    height INTEGER NOT NULL               -- of the block it was refused for
);
