"""Implementations of the gateway's ports that keep everything in memory and can be told to fail."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Literal

from gateway.errors import Unavailable
from gateway.storage.port import ObjectExists, ObjectMissing, StoredObject, verify_name

Fault = Literal["lost", "kept", "slow", "truncated", "stale"]


class SimulatedObjectStore:
    """A bucket in memory.

    `fail(verb, fault, ...)` queues faults for the next calls of a verb, one a call:
    `lost` raises before anything is done, `kept` does it and then raises, `slow` takes `delay` seconds, `truncated` answers a read with
    half of the bytes, `stale` lists what the list before did. `altered(name, body)` and `vanish(name)` change what is stored behind the port's back.
    """

    def __init__(self, *, clock: int = 1_790_000_000, delay: float = 0.05) -> None:
        self._objects: dict[str, tuple[bytes, int]] = {}
        self._faults: dict[str, deque[Fault]] = {}
        self._lock = threading.Lock()
        self._clock = clock
        self._delay = delay
        self._listed: list[StoredObject] = []
        self.calls: list[tuple[str, str]] = []

    def fail(self, verb: str, *faults: Fault) -> None:
        self._faults.setdefault(verb, deque()).extend(faults)

    def altered(self, name: str, body: bytes) -> None:
        self._objects[name] = (body, self._clock)

    def vanish(self, name: str) -> None:
        del self._objects[name]

    def put_if_absent(self, name: str, body: bytes) -> None:
        verify_name(name)
        fault = self._begin("put_if_absent", name)
        with self._lock:
            if name in self._objects:
                raise ObjectExists(name)
            self._objects[name] = (bytes(body), self._clock)
        self._end(fault)

    def get(self, name: str) -> bytes:
        return self.get_range(name, 0, 1 << 62, verb="get")

    def get_range(self, name: str, offset: int, length: int, *, verb: str = "get_range") -> bytes:
        if offset < 0 or length < 0:
            raise ValueError("offset and length are not negative")
        verify_name(name)
        fault = self._begin(verb, name)
        if name not in self._objects:
            raise ObjectMissing(name)
        body = self._objects[name][0][offset : offset + length]
        self._end(fault)
        return body[: len(body) // 2] if fault == "truncated" else body

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        fault = self._begin("list", prefix)
        if fault != "stale":
            objects = sorted(self._objects.items())
            self._listed = [StoredObject(name, len(body), at) for name, (body, at) in objects if name.startswith(prefix)]
        yield from self._listed
        self._end(fault)

    def check_writable(self) -> None:
        self._end(self._begin("check_writable", ""))

    def delete(self, name: str) -> None:
        verify_name(name)
        fault = self._begin("delete", name)
        self._objects.pop(name, None)
        self._end(fault)

    def _begin(self, verb: str, name: str) -> Fault | None:
        self.calls.append((verb, name))
        queued = self._faults.get(verb)
        fault = queued.popleft() if queued else None
        if fault == "lost":
            raise Unavailable("storage: told to fail before")
        if fault == "slow":
            time.sleep(self._delay)
        return fault

    def _end(self, fault: Fault | None) -> None:
        if fault == "kept":
            raise Unavailable("storage: told to fail after")
