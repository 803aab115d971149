"""Who submitted: a bundle's statement against the issuer's keys on the ledger. One signature is verified for a whole submission."""

from dataclasses import dataclass
from typing import NamedTuple

from chain.errors import LedgerError
from chain.ledger import Ledger
from chain.transactions import PartyBody, parse_transaction
from gateway.vault.submission import Statement, SubmissionInvalid


class _Registration(NamedTuple):
    """The keys that a party had from the entry of that index on; -1 is the genesis."""

    log_index: int
    signing: bytes | None
    attestation: bytes | None


@dataclass(frozen=True, slots=True)
class Stated:
    """A statement that was read; `fault` says what of it does not hold."""

    statement: Statement
    fault: str | None

    @property
    def root(self) -> bytes:
        """Of the submission; to be asked for where there is no fault."""
        return bytes.fromhex(self.statement.root)


class Statements:
    """Reads statements for as long as a shard takes; each distinct one is verified once, against what the ledger held before its ANCHOR."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._keys: dict[str, list[_Registration]] = {}
        self._latest: tuple[bytes, int, Stated] | None = None  # the bundles of a submission follow one another

    def read(self, body: bytes, anchor_index: int) -> Stated:
        """SubmissionInvalid if it is none; LedgerError if the ledger cannot be read."""
        if self._latest is None or self._latest[:2] != (body, anchor_index):
            statement = Statement.parse(body)
            self._latest = (body, anchor_index, Stated(statement, self._fault(statement, anchor_index)))
        return self._latest[2]

    def _fault(self, statement: Statement, anchor_index: int) -> str | None:
        known = [keys for keys in self._registrations(statement.issuer) if keys.log_index < anchor_index]
        if not known:
            return "the ledger knows no such issuer before the container's anchor"
        keys = {k.signing if statement.signed_by == "issuer" else k.attestation for k in known} - {None}
        fault = f"the issuer has no key to sign as {statement.signed_by} with"
        for key in keys:
            try:
                statement.verify(key or b"")
            except SubmissionInvalid as error:
                fault = str(error)
            else:
                return None
        return fault

    def _registrations(self, client_id: str) -> list[_Registration]:
        if client_id not in self._keys:
            self._keys[client_id] = self._read_registrations(client_id)
        return self._keys[client_id]

    def _read_registrations(self, client_id: str) -> list[_Registration]:
        found = [_registration(-1, party) for party in self._ledger.genesis.parties if party.client_id == client_id]
        for index in self._ledger.party_history(client_id):
            body = parse_transaction(self._ledger.prove(index).transaction).body
            if not isinstance(body, PartyBody):
                raise LedgerError(f"log entry {index} is no PARTY")
            if body.client_id == client_id:
                found.append(_registration(index, body))
        return found


def _registration(index: int, party: PartyBody) -> _Registration:
    return _Registration(index, party.signing_key, party.attestation_key)
