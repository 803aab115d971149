-- Hashes of the state's tree, so that an entry can be proven without hashing the whole state (chain/state_tiles.py). The first block that
-- becomes final after this fills it.
CREATE TABLE state_tile (                 -- derived: of the state after the last block
    number INTEGER NOT NULL PRIMARY KEY,  -- 0 to 255: buckets, 256 a row; 256: the roots over those rows
    hashes BLOB NOT NULL                  -- those that hold entries: place in the row (1 byte), hash (32 bytes)
);
