"""A signing key that notes what it signs, for tests of what no crash may let it sign twice."""

from chain import keys
from chain.block import Header, block_hash
from chain.encoding import decode


class WatchedKey:
    """Notes every signature that is made, whoever asks for it."""

    def __init__(self, key, signed):
        """`signed`: public key, label, height -> hashes."""
        self._key, self._signed, self.public = key, signed, key.public

    def sign(self, label, chain_id, message):
        height, hash_ = (Header.from_bytes(message).height, block_hash(chain_id, message)) if label == keys.HEADER else decode(message)
        self._signed[self.public, label, height].add(hash_)
        return self._key.sign(label, chain_id, message)

    def derived(self, label):
        """What a key derived from it signs is not noted."""
        return self._key.derived(label)
