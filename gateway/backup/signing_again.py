"""When the delegates of a restored gateway may sign again, and what their watermarks begin with (docs/adr/0032-backup.md).

Watermarks are in no backup, so the chain is asked: what is final in the ledger that the gateway goes on with was signed, and so may the
proposal have been that waits in it. Whatever came after that ledger was lost with it, and who signs those heights again with other blocks
can be proven to have signed twice.

Delegates elsewhere know how high the chain was, but they call the gateway, it has no way to them, and it must know before it signs. So
their operators are asked for their copies: the error names them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chain.watermark import Duty, Mark
from gateway.backup.manifest import BackupRefused


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the highest signed block. `mark` is the height and hash of the ledger's proposal, else of its head."""

    height: int  # of the ledger's head
    mark: Mark | None  # None: an empty chain
    seen: Sequence[int]  # heights of receipts: as high at least was it
    told: int | None  # the height that the operator says nothing was signed above
    newest_ledger: bool  # whether it is the ledger that was in use last, not the backup's
    regardless: bool  # the operator takes the risk of signing twice
    elsewhere: Sequence[str] = ()  # names of the acting delegates whose keys are not here


def first_marks(evidence: Evidence) -> Mapping[Duty, Mark]:
    """The marks to begin with. BackupRefused as long as other blocks may have been signed above the ledger's head."""
    if evidence.told is not None and evidence.told < evidence.height:
        raise BackupRefused(f"--known-height {evidence.told}: the ledger itself has block {evidence.height}")
    highest = max([evidence.height, *evidence.seen, evidence.told or 0])
    if not evidence.regardless:
        if highest > evidence.height:
            raise BackupRefused(
                f"block {highest} was final, and the ledger to be restored ends at height {evidence.height}. A delegate that signs the"
                " blocks between again, with other contents, can be proven to have signed twice. Give the ledger.db that was in use last"
                f" with --ledger.{_to_ask(evidence)} If none is left: --sign-although-later-blocks-may-exist"
            )
        if not evidence.newest_ledger and evidence.told is None:
            raise BackupRefused(
                f"the backup ends at height {evidence.height}, and whether a later block was signed is not known. If the ledger.db that was"
                f" in use last is left, give it with --ledger.{_to_ask(evidence)} If it is known which height was the last (log of `serve`,"
                " monitoring), say --known-height N; else, only if nothing else can be had: --sign-although-later-blocks-may-exist"
            )
    return {} if evidence.mark is None else dict.fromkeys(Duty, evidence.mark)


def _to_ask(evidence: Evidence) -> str:
    if not evidence.elsewhere:
        return ""
    return (
        f" The delegates elsewhere have copies of it ({', '.join(evidence.elsewhere)}): `delegate verify` tells each how high its own"
        " is, and the ledger.db in that folder of the highest is the one to give."
    )
