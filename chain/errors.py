"""Every way the ledger can say no, by whose fault it is. Each error is defined beside what raises it.

    LedgerError
    |- EncodingError        bytes that are not deterministic CBOR                        chain.encoding
    |- GenesisInvalid       the genesis file breaks a rule                               chain.genesis
    |- SignatureInvalid     a signature does not hold under its key and label            chain.keys
    |- ProofError           a path or a log proof does not show what it claims           chain.merkle
    |- OlderThanPin         a header from before the pin: nothing can be said of it      chain.proof
    |- NoteInvalid          no signed note, or one that a known key did not sign         chain.note
    |- FileInvalid          an exported chain or a snapshot does not hold                chain.record_file
    |- TransactionInvalid   a transaction breaks a rule that needs no state              chain.kinds
    |- TransactionRefused   the state does not admit it (expired, duplicate, signer...)  chain.refusal
    |- BlockInvalid         a block does not follow from its predecessor                 chain.block
    |  `- FormatUnknown     it has a version that came after this program                chain.block
    |- BallotInvalid        bytes that are no ballot                                     chain.ballot
    |- DoubleSign           a second hash at a height already signed: nothing is signed  chain.watermark
    |- WatermarkUnusable    the watermark is missing, torn or another key's              chain.watermark
    |- WatermarkUnwritable  a mark could not be made durable for now: nothing is signed  chain.watermark
    |- NoQuorum             too few delegates accepted the proposal                      chain.engine
    |- LeaseLost            another process writes this ledger now                       chain.lease
    |- LedgerUnreachable    its database is locked, gone, full or read-only for now      chain.database
    |- LedgerMissing        there is no such ledger, or it is another chain's            chain.database
    |- LedgerOutdated       its layout is an earlier version's: upgrade first            chain.database
    `- LedgerDamaged        what is stored is not whole: the engine will not go on       chain.database

Messages name heights, indices and rules, never the content of a body.
"""


class LedgerError(Exception):
    """Base of all that the ledger raises."""
