"""What a backup says of itself: the last member of its archive, `manifest.json` (docs/adr/0032-backup.md)."""

import re
from typing import Final, Literal

import msgspec

FORMAT: Final = "fhir-anchor backup 1"
NAME = "manifest.json"
DATABASE, LEDGER, GENESIS, SETTINGS, KEK = "gateway.db", "ledger.db", "genesis.json", "settings.json", "keys/kek.json"
REQUIRED = frozenset({DATABASE, LEDGER, GENESIS, SETTINGS})
_PART = re.compile(r"gateway\.db|ledger\.db|genesis\.json|settings\.json|keys/[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)


class BackupDamaged(Exception):
    """The file is no whole backup; the message says what does not hold. Nothing of it is to be used."""


class BackupRefused(Exception):
    """A backup was not made, verified or restored, and the operator can say or change what is missing."""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file in the archive."""

    name: str
    size: int  # bytes
    sha256: str  # hex


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times in seconds since the epoch; `head` is the hash of the last header, the chain id where there is none."""

    format: Literal["fhir-anchor backup 1"]
    software: str
    made_at: int
    chain_id: str
    height: int
    head: str
    log_size: int
    counts: dict[str, int]
    bucket_url: str
    missing_objects: int  # containers that the database named and the bucket did not have when the backup was made
    with_keys: bool
    parts: tuple[Part, ...]

    def to_bytes(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def is_part(name: str) -> bool:
    """Whether a member of this name may lie in a backup: nothing leads out of the folder that it is taken out to."""
    return _PART.fullmatch(name) is not None


def parse_manifest(body: bytes) -> Manifest:
    """Raises BackupDamaged."""
    try:
        manifest = msgspec.json.decode(body, type=Manifest)
    except msgspec.DecodeError as error:
        raise BackupDamaged(f"its manifest cannot be read: {error}") from error
    names = [part.name for part in manifest.parts]
    if not (set(names) >= REQUIRED and len(set(names)) == len(names) and all(map(is_part, names))):
        raise BackupDamaged("its manifest names other files than a backup has")
    if manifest.with_keys != (KEK in names):
        raise BackupDamaged("its manifest contradicts itself about the keys")
    return manifest
