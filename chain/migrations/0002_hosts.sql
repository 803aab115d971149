-- For several hosts that share a ledger (chain/lease.py); with one host the rows stay away, its files do the same.
CREATE TABLE lease (                      -- at most one row: who may write
    id INTEGER NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,                 -- a process
    fence INTEGER NOT NULL,               -- one higher with each holder
    expires_ms INTEGER NOT NULL           -- by the database's clock, since 1970
);
CREATE TABLE watermark (                  -- what a delegate's key has signed last
    delegate BLOB NOT NULL,               -- its public key
    duty TEXT NOT NULL,                   -- produced | voted
    height INTEGER NOT NULL,
    block_hash BLOB NOT NULL,
    PRIMARY KEY (delegate, duty)
) WITHOUT ROWID;
