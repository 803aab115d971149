"""A transaction in a checkpoint of the log, as a file (C2SP tlog-proof, docs/design/checkpoint.md): written, read and verified offline."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from chain.checkpoint import Checkpoint, log_verifier, origin_of
from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.keys import SignatureInvalid
from chain.merkle import HASH_SIZE, ProofError, leaf_hash, root_from_path
from chain.note import COSIGNATURE, MAX_NOTE_BYTES, Note, NoteInvalid, VerifierKey, from_base64, to_base64, verify_note
from chain.transactions import MAX_TRANSACTION_BYTES, Role, Transaction
from gateway.errors import CouldNotCheck
from gateway.recorded import ReceiptInvalid, genesis_of, is_by_gateway, signed_transaction
from gateway.tlog_policy import Policy

MARK = b"c2sp.org/tlog-proof@v1\n"
MAX_BYTES = 2 * MAX_TRANSACTION_BYTES + MAX_NOTE_BYTES
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")
_MAX_PATH = 63
NO_POLICY = "cosignatures: no policy was given (--policy), so none of them was looked at"


class TlogProof(Struct, frozen=True):
    """The file's parts; `transaction` is its extra data, which the path binds."""

    transaction: bytes
    index: int  # in the log
    path: tuple[bytes, ...]  # siblings from the leaf up to the checkpoint's root
    checkpoint: bytes  # a note

    def to_bytes(self) -> bytes:
        lines = [f"extra {to_base64(self.transaction)}", f"index {self.index}", *map(to_base64, self.path)]
        return MARK + "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint

    @classmethod
    def from_bytes(cls, proof: bytes) -> "TlogProof":
        """Reads strictly. Raises `NoteInvalid`."""
        head, blank, checkpoint = proof.removeprefix(MARK).partition(b"\n\n")
        lines = head.decode("ascii", "replace").split("\n")
        index = _INDEX.fullmatch(lines[1]) if len(lines) > 1 else None
        if not proof.startswith(MARK) or len(proof) > MAX_BYTES or not blank or index is None or not lines[0].startswith("extra "):
            raise NoteInvalid("it does not have the lines of a tlog-proof with the transaction as extra data")
        path = tuple(map(from_base64, lines[2:]))
        if len(path) > _MAX_PATH or any(len(sibling) != HASH_SIZE for sibling in path):
            raise NoteInvalid("its path has too many hashes, or one that does not have 32 bytes")
        return cls(from_base64(lines[0].removeprefix("extra ")), int(index[1]), path, checkpoint)


class LogVerdict(NamedTuple):
    """What a valid proof says."""

    kind: str  # of the transaction
    log_index: int
    log_size: int  # of the checkpoint
    cosigned_by: tuple[str, ...]  # names of keys, those of the policy
    not_checked: tuple[str, ...]


def verify_tlog_proof(proof_bytes: bytes, genesis_bytes: bytes, policy: Policy | None) -> LogVerdict:
    """Every step of the page. Raises ReceiptInvalid and CouldNotCheck."""
    genesis = genesis_of(genesis_bytes)
    logs = _logs(genesis) if policy is None else policy.logs
    if not logs:
        raise CouldNotCheck("neither the genesis file nor a policy (--policy) says which key signs the log's checkpoints")
    try:
        proof = TlogProof.from_bytes(proof_bytes)
        note = Note.from_bytes(proof.checkpoint)
        checkpoint = Checkpoint.from_text(note.text)
        if checkpoint.origin != origin_of(genesis.chain_id):
            raise NoteInvalid("its checkpoint is of another log than this chain's")
        cosigned = _verified_signatures(note, [log for log in logs if log.name == checkpoint.origin], policy)
        if root_from_path(leaf_hash(proof.transaction), proof.index, checkpoint.size, proof.path) != checkpoint.root:
            raise ProofError("its path does not lead to the checkpoint's root")
        kind = _verified_transaction(proof.transaction, genesis).kind.name
    except (LedgerError, SignatureInvalid) as error:
        raise ReceiptInvalid(f"tlog-proof: {error}") from error
    return LogVerdict(kind, proof.index, checkpoint.size, cosigned, () if policy else (NO_POLICY,))


def _logs(genesis: Genesis) -> list[VerifierKey]:
    keys = [party.attestation_key for party in genesis.parties if party.role is Role.GATEWAY]
    return [log_verifier(genesis.chain_id, key) for key in keys if key is not None]


def _verified_signatures(note: Note, logs: Sequence[VerifierKey], policy: Policy | None) -> tuple[str, ...]:
    """The names of the cosigners. Raises NoteInvalid."""
    verified = [key for key, _ in verify_note(note, [*logs, *(policy.witnesses.values() if policy else ())])]
    if not any(key in verified for key in logs):
        raise NoteInvalid("the log has not signed its checkpoint")
    cosigners = [key for key in verified if key.type == COSIGNATURE]
    if policy is not None and not policy.is_met(cosigners):
        raise NoteInvalid("its checkpoint does not have the cosignatures that the policy wants")
    return tuple(key.name for key in cosigners)


def _verified_transaction(raw: bytes, genesis: Genesis) -> Transaction:
    """As in a receipt: a gateway of the genesis signed it. Raises LedgerError."""
    transaction = signed_transaction(raw, genesis.chain_id)
    if not is_by_gateway(transaction, genesis):
        raise SignatureInvalid("its transaction is not signed by a gateway of genesis")
    return transaction
