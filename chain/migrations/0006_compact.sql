-- The index of transactions, three quarters of it smaller: identities by their first bytes, and what only some lines have apart.
ALTER TABLE transaction_index RENAME TO whole_index;
CREATE TABLE transaction_index (          -- derived
    tx_prefix BLOB NOT NULL,              -- the first 8 bytes of a transaction's identity; who looks one up compares the whole of it
    log_index INTEGER NOT NULL,
    PRIMARY KEY (tx_prefix, log_index)
) WITHOUT ROWID;
CREATE TABLE party_history (              -- derived: the PARTY transactions about a party
    party BLOB NOT NULL,                  -- its entry key
    log_index INTEGER NOT NULL,
    PRIMARY KEY (party, log_index)
) WITHOUT ROWID;
CREATE TABLE recorded_source (            -- who submitted here what is in the log now
    source INTEGER NOT NULL PRIMARY KEY
);
INSERT INTO transaction_index SELECT substr(tx_id, 1, 8), log_index FROM whole_index;
INSERT INTO party_history SELECT party, log_index FROM whole_index WHERE party IS NOT NULL;
INSERT INTO recorded_source SELECT source FROM whole_index WHERE source IS NOT NULL;
DROP TABLE whole_index;
-- Tiles of the state's tree small enough for a page each, numbered by the node above them. The next block that becomes final fills it anew.
DELETE FROM state_tile;
