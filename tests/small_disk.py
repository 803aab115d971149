"""A small file system of a test's own, that it can fill up."""

import subprocess
from contextlib import contextmanager

import pytest


class SmallDisk:
    def __init__(self, folder):
        self.folder = folder

    def fill(self):
        """Nothing more fits: not a page, not a name."""
        try:
            with (self.folder / "ballast").open("wb", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(4096))
        except OSError:
            pass

    def empty(self):
        (self.folder / "ballast").unlink()

    def make_read_only(self):
        """Only while no file of it is open to be written."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)

    def make_writable(self):
        subprocess.run(["mount", "-o", "remount,rw", str(self.folder)], check=True)


@contextmanager
def mounted(folder, size=2 << 20):
    """Skips the test where nothing may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small file system here")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
