"""A set of delegates that act together: who they are by index, how many make a quorum, and the hash that headers name them by."""

from collections.abc import Sequence

from msgspec import Struct

from chain.encoding import encode
from chain.keys import DELEGATES, ChainId, is_valid_public_key, labelled_hash


class DelegateSet(Struct, frozen=True):
    """3f+1 delegates; a delegate's index is its place in `keys`."""

    keys: tuple[bytes, ...]  # public keys
    hash: bytes  # what headers name the set by

    @classmethod
    def of(cls, chain_id: ChainId, keys: Sequence[bytes]) -> "DelegateSet":
        return cls(tuple(keys), labelled_hash(DELEGATES, chain_id, encode(list(keys))))

    @property
    def can_act(self) -> bool:
        """Whether it has 3f+1 keys, all different and such as may be enrolled."""
        return len(self.keys) % 3 == 1 and len(set(self.keys)) == len(self.keys) and all(map(is_valid_public_key, self.keys))

    @property
    def quorum(self) -> int:
        """2f+1 of 3f+1."""
        return 2 * ((len(self.keys) - 1) // 3) + 1
