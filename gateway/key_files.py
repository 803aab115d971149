"""The ledger's signing keys on disk: one JSON file a key below `keys/`, mode 0600 in a folder of mode 0700.

{"format": "fhir-anchor key 1", "name": "delegate-1", "public": hex, "seed": hex}
"""

import os
import re
from pathlib import Path

import msgspec
from msgspec import Struct

from chain.keys import SigningKey

FORMAT = "fhir-anchor key 1"


class KeyFileUnusable(Exception):
    """A key file is missing, readable by others, or does not hold what it says; the message names the file."""


class _KeyFile(Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    name: str
    public: str
    seed: str


def write_key(path: Path, name: str, seed: bytes) -> SigningKey:
    """Write the key made from `seed` (32 bytes) to a new file and return it. An existing file is never replaced."""
    key = SigningKey.from_seed(seed)
    text = msgspec.json.format(msgspec.json.encode(_KeyFile(FORMAT, name, key.public.hex(), seed.hex())), indent=2) + b"\n"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return key


def read_key(path: Path) -> SigningKey:
    """Read a key; raises KeyFileUnusable rather than sign with a key that is not what its file says."""
    try:
        if path.stat().st_mode & 0o077:
            raise KeyFileUnusable(f"{path} can be read by others; set its mode to 0600")
        held = msgspec.json.decode(path.read_bytes(), type=_KeyFile)
        key = SigningKey.from_seed(bytes.fromhex(held.seed))
    except OSError as error:
        raise KeyFileUnusable(f"{path} is no usable key file: {error.strerror or 'it cannot be read'}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise KeyFileUnusable(f"{path} is no usable key file: it is not what `delegate key` or `init` writes") from error
    if held.format != FORMAT or key.public.hex() != held.public:
        raise KeyFileUnusable(f"{path} does not hold the key that it names")
    return key


def delegate_key_paths(keys: Path) -> list[Path]:
    """The delegates' key files below `keys`, in the order of their numbers."""
    found_paths = [path for path in keys.glob("delegate-*.json") if re.fullmatch(r"delegate-\d+\.json", path.name)]
    return sorted(found_paths, key=lambda path: int(path.stem.partition("-")[2]))
