"""Proofs as they are asked for, over HTTP and on the command line: names and numbers as text in, the file's form out."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from chain.entries import EntryKind, natural_key_named
from chain.ledger import Ledger
from fhir_adapters.issue import InvalidInput, Issue
from gateway.proof_format import consistency_of, finality_of, inclusion_of, state_of

Asked = Mapping[str, str]
_LARGEST = (1 << 53) - 1


def proven(ledger: Ledger, kind: str, asked: Asked) -> Struct:
    """The proof of a kind: `finality` (height), `inclusion` (transaction or index, size), `consistency` (first, second), `state` (kind,
    name); each may say where its handovers begin (from). Raises InvalidInput, `chain.merkle.ProofError` where there is nothing to prove.
    """
    make, names = _KINDS[kind]
    if not asked.keys() <= {*names, "from"}:
        raise bad(f"what may be said is {', '.join(names)} and from")
    return make(ledger, asked, start_of(asked))


def is_for_ever(kind: str, asked: Asked) -> bool:
    """Whether the same question will have the same answer for ever: where it is not about whatever block is the last one."""
    return kind == "inclusion" or (kind == "finality" and "height" in asked) or (kind == "consistency" and "second" in asked)


def start_of(asked: Asked) -> int:
    """The height of the header that whoever asks has pinned; 0 is the genesis. Raises InvalidInput."""
    return _number(asked, "from") or 0


def entry_named(kind: str, name: str) -> tuple[EntryKind, bytes]:
    """The kind of an entry of the state as people spell it, and its natural key. Raises InvalidInput."""
    found = next((one for one in EntryKind if spelled(one) == kind), None)
    if found is None:
        raise bad(f"kind is one of {', '.join(map(spelled, EntryKind))}")
    try:
        return found, natural_key_named(found, name)
    except ValueError as error:
        raise bad(f"name: {error}") from error


def bad(sentence: str) -> InvalidInput:
    """What was asked cannot be understood."""
    return InvalidInput([Issue("value", sentence)], unreadable=True)


def _finality(ledger: Ledger, asked: Asked, start: int) -> Struct:
    height = _number(asked, "height")
    return finality_of(ledger.prover.finality(ledger.height() if height is None else height, start), ledger.genesis.chain_id)


def _inclusion(ledger: Ledger, asked: Asked, start: int) -> Struct:
    index, size, id_ = _number(asked, "index"), _number(asked, "size"), asked.get("transaction")
    if (id_ is None) == (index is None):
        raise bad("name the transaction by transaction=ID or by index=NUMBER")
    at = ledger.prover.index_of(_digest(id_)) if id_ is not None else index
    assert at is not None
    return inclusion_of(ledger.prover.inclusion(at, size=size, start=start), ledger.genesis.chain_id)


def _consistency(ledger: Ledger, asked: Asked, start: int) -> Struct:
    first = _number(asked, "first")
    if first is None:
        raise bad("first=SIZE is missing: the size of the log that is known already")
    return consistency_of(ledger.prover.consistency(first, _number(asked, "second"), start), ledger.genesis.chain_id)


def _state(ledger: Ledger, asked: Asked, start: int) -> Struct:
    kind, name = entry_named(asked.get("kind", ""), asked.get("name", ""))
    return state_of(ledger.prover.state(kind, name, start), ledger.genesis.chain_id)


_KINDS: dict[str, tuple[Callable[[Ledger, Asked, int], Struct], tuple[str, ...]]] = {
    "finality": (_finality, ("height",)),
    "inclusion": (_inclusion, ("transaction", "index", "size")),
    "consistency": (_consistency, ("first", "second")),
    "state": (_state, ("kind", "name")),
}
KINDS = tuple(_KINDS)


def _number(asked: Asked, name: str) -> int | None:
    text = asked.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) <= _LARGEST):
        raise bad(f"{name} is a whole number")
    return int(text)


def _digest(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise bad("transaction is an identity: 64 hex digits")
    return found


def spelled(kind: EntryKind) -> str:
    return kind.name.lower().replace("_", "-")
