-- Transactions that lie in the object store (chain/archive.py).
CREATE TABLE pack (                       -- log indices 4096 number to 4096 number + 4095
    number INTEGER NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL                  -- SHA-256 of the object
);
