"""Opening stored records one after the other: of neighbours, a bundle is read, checked and unwrapped once."""

from collections import OrderedDict

from gateway.index.records import RecordLocation
from gateway.services import Services
from gateway.vault.opened_bundle import OpenedBundle
from gateway.vault.primitives import WrapPrivateKey

_BUNDLES = 8  # kept open at a time; each holds the segments that it gave last


class RecordOpener:
    """For one request: it holds private keys. Records are best asked for in the order of their rows."""

    def __init__(self, services: Services) -> None:
        self._anchored = services.anchored
        self._keys: dict[int, WrapPrivateKey] = {}  # by archive
        self._bundles: OrderedDict[tuple[str, int], OpenedBundle] = OrderedDict()

    def body(self, at: RecordLocation) -> bytes:
        """The committed bytes. Raises as `AnchoredBundles.record`."""
        return self._anchored.record(at, self._bundle(at)).body

    def _bundle(self, at: RecordLocation) -> OpenedBundle:
        place = (at.container_name, at.bundle_offset)
        if place not in self._bundles:
            if at.archive not in self._keys:
                self._keys[at.archive] = self._anchored.private_key(at.archive)
            self._bundles[place] = self._anchored.bundle(at, self._keys[at.archive])
            if len(self._bundles) > _BUNDLES:
                self._bundles.popitem(last=False)
        self._bundles.move_to_end(place)
        return self._bundles[place]
