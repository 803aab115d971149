"""The keys that sign the log's checkpoints, and the transactions by which the chain knows them (docs/design/checkpoint.md).

Both kinds are derived from keys that are there: the log's from the gateway's ledger key, a cosigner's from its delegate's. What the chain
does not know yet is put in line for it, by `init` and `upgrade`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import Connection

from chain.encoding import encode
from chain.keys import COSIGNING_KEY, LOG_KEY, ChainId, SigningKey
from chain.ledger import Ledger
from chain.stake import DelegateBody, cosigner
from chain.stake_entries import Standing
from chain.transactions import PartyAction, PartyBody, Role, parse_transaction, sign_transaction
from chain.watermark import Duty, Mark, Share, Watermark, create_watermark
from gateway.index import outbox
from gateway.key_files import delegate_key_paths, read_key

VALID_FOR = 10_000  # heights from the present one
_WATERMARK = "log.watermark"


def log_key(keys: Path) -> SigningKey:
    """The key of the log. Raises KeyFileUnusable."""
    return read_key(keys / "gateway.json").derived(LOG_KEY)


def log_watermark(keys: Path, chain_id: ChainId, share: Share | None = None) -> Watermark:
    """The mark of the log's key, begun at its first use. Raises KeyFileUnusable, chain.watermark.WatermarkUnusable."""
    if not (keys / _WATERMARK).exists():
        begin_log_watermark(keys, chain_id)
    return Watermark(keys / _WATERMARK, chain_id, log_key(keys).public, share)


def begin_log_watermark(keys: Path, chain_id: ChainId, marks: Mapping[Duty, Mark] = MappingProxyType({})) -> None:
    """With the last marks that the key can have made, where its own file was lost. Raises KeyFileUnusable, FileExistsError."""
    create_watermark(keys / _WATERMARK, chain_id, log_key(keys).public, marks)


class Registration(NamedTuple):
    """What makes one key known: the gateway's party with its log key, or a delegate's cosigning key, which the delegate signs."""

    name: str  # of the key's file
    body: PartyBody | DelegateBody
    delegate: SigningKey | None


def due(ledger: Ledger, keys: Path, connection: Connection | None) -> list[Registration]:
    """What the chain does not know yet of the keys below `keys`, and what does not wait in the outbox either.

    Without `connection`, whatever waits is left aside: an outbox of an earlier version holds none of this. Raises KeyFileUnusable.
    """
    found = [*_log_due(ledger, log_key(keys).public), *_cosigners_due(ledger, keys)]
    if connection is None:
        return found
    waiting = {(row.kind, row.body) for row in outbox.pending(connection)}
    signed = [parse_transaction(raw).body for raw in outbox.signed(connection)]
    return [one for one in found if one.body not in signed and (int(one.body.kind), encode(one.body.to_map())) not in waiting]


def register(connection: Connection, ledger: Ledger, keys: Path, now: int) -> None:
    """Put in line for the ledger what is due; `now` in seconds since the epoch. Raises KeyFileUnusable."""
    for one in due(ledger, keys, connection):
        if one.delegate is None:
            outbox.add(connection, one.body, now)
        else:
            signed = sign_transaction(one.body, ledger.height() + VALID_FOR, one.delegate, ledger.genesis.chain_id)
            outbox.add_signed(connection, signed.raw, now)


def _log_due(ledger: Ledger, public: bytes) -> Iterator[Registration]:
    """The rotation that gives the gateway's party the log's key."""
    gateway = next(party.client_id for party in ledger.genesis.parties if party.role is Role.GATEWAY)
    entry = ledger.party(gateway)
    if entry is not None and not entry.suspended and entry.attestation_key != public:
        yield Registration("gateway", PartyBody(PartyAction.ROTATE, gateway, entry.name, entry.role, entry.signing_key, public), None)


def _cosigners_due(ledger: Ledger, keys: Path) -> Iterator[Registration]:
    """Those here that stand, and cosign with no key or another one. Where delegates are fixed, nobody stands and nobody cosigns."""
    for path in delegate_key_paths(keys):
        key = read_key(path)
        entry, known = ledger.delegates.delegate(key.public), ledger.delegates.cosigner(key.public)
        stands = entry is not None and entry.standing is Standing.STANDS
        if stands and (known is None or known.key != key.derived(COSIGNING_KEY).public):
            yield Registration(path.stem, cosigner(key, ledger.genesis.chain_id), key)
