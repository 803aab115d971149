"""Deadlines for what a client sends: a thread waits for it, and a client that sends a byte now and then would hold the thread for ever."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Deadlines:
    """Ends the reading of sockets whose time is over. One watching thread in a process, started with the first deadline."""

    def __init__(self) -> None:
        self._ends: dict[socket.socket, float] = {}  # by `time.monotonic()`
        self._lock = threading.Lock()
        self._watch: threading.Thread | None = None

    @contextmanager
    def within(self, connection: socket.socket, seconds: float) -> Iterator[None]:
        """While inside, reading from `connection` ends as if the client had closed it, once `seconds` are over."""
        with self._lock:
            self._ends[connection] = time.monotonic() + seconds
            if self._watch is None:
                self._watch = threading.Thread(target=self._run, daemon=True)
                self._watch.start()
        try:
            yield
        finally:
            with self._lock:
                self._ends.pop(connection, None)

    def _run(self) -> None:
        while True:
            time.sleep(0.5)
            now = time.monotonic()
            with self._lock:
                over = [connection for connection, end in self._ends.items() if end <= now]
                for connection in over:
                    del self._ends[connection]
                    with suppress(OSError):  # it may be closed by now
                        connection.shutdown(socket.SHUT_RD)


DEADLINES = Deadlines()  # of this process
