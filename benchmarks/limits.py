"""What this machine can do at best, on one core, by the same libraries as the gateway: the yardstick beside the figures of the same run."""

import os
import time
from hashlib import sha256
from pathlib import Path

import msgspec
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.timing import rate
from chain import keys

_MB = 1_000_000
_SEGMENT = 65_536  # bytes, about what a segment of a sealed bundle has
_CONTAINER = _MB
_BLOCK = 4096


def measure(folder: Path, sample: bytes, seconds: float) -> dict[str, float]:
    """Each limit for about `seconds`. `folder` lies on the disk that is measured, `sample` is a bundle as hospitals send them.

    `_mb` are 10^6 bytes. All are rates a second of CPU time, except `fsync_per_s`: the disk's, by the wall clock.
    """
    container, segment = os.urandom(_CONTAINER), os.urandom(_SEGMENT)
    return {
        "sha256_mb_per_s": rate(lambda: sha256(container), seconds) * len(container) / _MB,
        "aes_gcm_mb_per_s": _aes_gcm(segment, seconds),
        "zstd_mb_per_s": rate(lambda: zstandard.ZstdCompressor(level=3).compress(sample), seconds) * len(sample) / _MB,
        "json_decode_mb_per_s": rate(lambda: msgspec.json.decode(sample), seconds) * len(sample) / _MB,
        "ed25519_sign_per_s": _sign(seconds),
        "ed25519_verify_per_s": _verify(seconds),
        "fsync_per_s": _fsync(folder, seconds),
    }


def _aes_gcm(segment: bytes, seconds: float) -> float:
    """Encryption only: each call has a key of its own, as in a sealed bundle."""
    nonce = bytes(12)
    return rate(lambda: AESGCM(os.urandom(32)).encrypt(nonce, segment, None), seconds) * len(segment) / _MB


_CHAIN = keys.ChainId(bytes(32))
_MESSAGE = bytes(139)  # as long as an ANCHOR


def _sign(seconds: float) -> float:
    key = keys.SigningKey.from_seed(bytes(range(32)))
    return rate(lambda: key.sign(keys.TRANSACTION, _CHAIN, _MESSAGE), seconds)


def _verify(seconds: float) -> float:
    key = keys.SigningKey.from_seed(bytes(range(32)))
    signature = key.sign(keys.TRANSACTION, _CHAIN, _MESSAGE)
    return rate(lambda: keys.verify(key.public, keys.TRANSACTION, _CHAIN, _MESSAGE, signature), seconds)


def _fsync(folder: Path, seconds: float) -> float:
    """One block appended and synced, as a database's log does."""
    path = folder / "fsync"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append() -> None:
        os.write(handle, bytes(_BLOCK))
        os.fsync(handle)

    try:
        return rate(append, seconds, time.perf_counter)
    finally:
        os.close(handle)
        path.unlink()
