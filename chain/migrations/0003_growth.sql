-- For a copy that did not begin at genesis (chain/snapshot.py).
CREATE TABLE beginning (                  -- at most one row: the last block whose transactions this copy never had
    height INTEGER NOT NULL PRIMARY KEY
);
