"""Sealing a submission: one sealed bundle for each archive it touches (docs/design/sealed-bundle.md)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.index.archives import Archive
from gateway.index.parties import Party
from gateway.pending import Sealed
from gateway.services import Services
from gateway.submission import Submission
from gateway.vault import submission as signing
from gateway.vault.keyring import ArchiveSecret
from gateway.vault.primitives import KEY_BYTES
from gateway.vault.seal import PackedBundle, RecordToSeal, SealedBundle, pack_bundle
from gateway.vault.submission import Statement, SubmissionTree

Records = Mapping[Archive, Sequence[tuple[int, RecordToSeal]]]  # each with its row
_CATEGORY = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True, slots=True)
class Attested:
    """The submission's tree, and the statement that says whose signature stands under its root."""

    tree: SubmissionTree
    statement: bytes


def attest(services: Services, sender: Party, submission: Submission, entries: Sequence[bytes]) -> Attested:
    """Verify the sender's signature over `entries`, or sign for a sender that leaves that to the gateway.

    Raises `SubmissionInvalid` (a Refused) for a signature that does not hold, and for none where the sender is to sign itself.
    """
    now = int(submission.received_at)
    if submission.signature is None:
        if sender.signing == "own" or sender.attestation_sealed is None:
            raise signing.SubmissionInvalid("this party signs its submissions itself: X-Submission-Signature is missing")
        tree = SubmissionTree(entries, services.random(signing.NONCE_BYTES))
        seed = services.keyring.open(attestation_context(sender.client_id), sender.attestation_sealed)
        signature = signing.sign(seed, client_id=sender.client_id, iat=now, count=tree.count, root=tree.root)
        return Attested(tree, _statement(sender, submission, tree, signature, "gateway"))
    if submission.nonce is None:
        raise signing.SubmissionInvalid("X-Submission-Signature comes without X-Submission-Nonce")
    if sender.signing_key is None:
        raise signing.SubmissionInvalid("this party has no signing key registered")
    tree = SubmissionTree(entries, submission.nonce)
    signing.verify(submission.signature, public=sender.signing_key, client_id=sender.client_id, count=tree.count, root=tree.root, now=now)
    return Attested(tree, _statement(sender, submission, tree, submission.signature, "issuer"))


def attestation_context(client_id: str) -> str:
    """For what the keyring seals the gateway's signing key for a party."""
    return f"attestation-key/{client_id}"


def class_name(resource_type: str, category: str | None) -> str:
    """`Type/category`, or `Type` where the category is no plain code."""
    return f"{resource_type}/{category}" if category and _CATEGORY.fullmatch(category) else resource_type


class Sealing:
    """The bundles of one submission, packed as soon as it is made. They are sealed once their archives' running numbers are known, and
    again only where a number went to another meanwhile.
    """

    def __init__(self, services: Services, attested: Attested, records: Records, secrets: Mapping[Archive, ArchiveSecret]) -> None:
        self._services, self._attested, self._records, self._secrets = services, attested, records, secrets
        self._recipients = {archive: archive.keys.public_key for archive in records}  # an altered one is this submission's fault alone
        self._packed = {archive: self._pack(archive) for archive in records}
        self._bundles: dict[Archive, tuple[int, SealedBundle]] = {}  # with the number it was sealed under

    @property
    def archives(self) -> Sequence[Archive]:
        """Those that get a bundle each, in the order of the bundles."""
        return list(self._records)

    @property
    def size(self) -> int:
        """Bytes of all bundles, about."""
        return sum(packed.size for packed in self._packed.values())

    def sealed(self) -> Sealed:
        """A bundle for each archive, under the archive's present number."""
        leaves: dict[int, int] = {}
        for archive, members in self._records.items():
            if archive not in self._bundles or self._bundles[archive][0] != archive.next_number:
                self._bundles[archive] = (archive.next_number, self._seal(archive))
            leaves.update(zip((row for row, _ in members), self._bundles[archive][1].placements, strict=True))
        return Sealed([self._bundles[archive][1] for archive in self._records], self.archives, leaves)

    def _pack(self, archive: Archive) -> PackedBundle:
        records = [record for _, record in self._records[archive]]
        cover = self._attested.tree.tree.cover([record.entry.index for record in records if record.entry])
        return pack_bundle(statement=self._attested.statement, records=records, cover=cover, random=self._services.random)

    def _seal(self, archive: Archive) -> SealedBundle:
        return self._packed[archive].seal(
            self._services.random(KEY_BYTES),
            chain_id=self._services.chain_id,
            bundle_id=self._secrets[archive].bundle_id(archive.next_number),
            number=archive.next_number,
            recipients=[self._recipients[archive]],
        )


def _statement(sender: Party, submission: Submission, tree: SubmissionTree, signature: str, signed_by: signing.Signer) -> bytes:
    return Statement(
        count=tree.count,
        issuer=sender.client_id,
        media_type=submission.media_type,
        received_at=int(submission.received_at),
        root=tree.root.hex(),
        signature=signature,
        signed_by=signed_by,
    ).to_bytes()
