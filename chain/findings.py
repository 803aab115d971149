"""What a check of the ledger can find: a closed list of codes, and the shape of a finding."""

from enum import StrEnum

from msgspec import Struct


class Code(StrEnum):
    """Never renamed; new ones may be added."""

    BLOCK_MISSING = "block-missing"  # a height is not there though later ones, derived rows or a delegate's own mark say it was
    BLOCK_INVALID = "block-invalid"  # a header does not decode, breaks a rule, does not follow its predecessor, or is not its producer's
    SCHEDULE_INVALID = "schedule-invalid"  # a block of a delegate whose slot it was not
    VOTE_INVALID = "vote-invalid"  # a vote that does not hold, too few votes, or others than the next header names
    TRANSACTION_INVALID = "transaction-invalid"  # a block records what the rules or a signature do not admit
    LOG_MISMATCH = "log-mismatch"  # recorded transactions or tiles do not give the log root
    STATE_MISMATCH = "state-mismatch"  # replay gives another state root, or a stored entry differs from the replay
    INDEX_MISMATCH = "index-mismatch"  # a row of the transaction index is missing, altered or foreign
    CHECKPOINT_INVALID = "checkpoint-invalid"  # what is shown as the log's checkpoint is none, or not signed by the log's key
    SPLIT_VIEW = "split-view"  # the log has signed a checkpoint of another log than the one that is final
    PACK_MISSING = "pack-missing"  # an object that holds old transactions is not there
    PACK_ALTERED = "pack-altered"  # an object that holds old transactions does not have its digest
    FILE_DAMAGED = "file-damaged"  # a page, an index or the kind of a value in the database's file is not what was written


class Finding(Struct, frozen=True):
    """`subject` names the place: "height 12", "state entry 0a1b...", "log tile 0/3", "transaction 17"."""

    code: Code
    subject: str
    detail: str
