"""A PostgreSQL server of the tests' own: in a temporary folder, on a Unix socket, gone afterwards, or when
the next one starts, if the tests were killed.

Its programs are the machine's (PATH, or where Debian puts them), else those of the pgserver package. A server refuses to run as root, so for
root it runs as `postgres` or `nobody`; programs that those may not read are copied beside its data.
"""

import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psycopg

_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # tests kill processes, not the machine
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "log_min_messages": "fatal",
    "autovacuum": "off",
}
_PREFIX = "fa-pg-"
_RULES = "local all secretive scram-sha-256\nlocal all all trust\n"


class NoServer(Exception):
    """No server can be run here; the message says why."""


class PostgresqlServer:
    def __init__(self):
        programs, self._user = _programs(), _user()
        _sweep(_in_memory())
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_in_memory()))
        self._owned = _own(self.folder)
        self.process = None
        try:
            self._begin(programs)
        except BaseException:  # a stop of the tests, too, leaves no server and no folder behind
            self.close()
            raise

    def _begin(self, programs):
        if self._user:
            shutil.chown(self.folder, self._user, self._user_group)
            if not _may_read(self._user, self._user_group, programs):
                programs = Path(shutil.copytree(programs.parent, self.folder / "programs")) / "bin"
        self.folder.chmod(0o755)
        self._programs = programs
        self.data = self.folder / "data"
        self._run("initdb", "-D", self.data, "-U", "tests", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        (self.data / "pg_hba.conf").write_text(_RULES)
        self.start()

    def start(self):
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        command = [self._programs / "postgres", "-D", self.data, "-k", self.folder, *settings]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=self.folder, user=self._user, group=self._user_group, extra_groups=self._groups
        )
        log.close()
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.conninfo("postgres")).close()
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.02)
            else:
                return

    def stop(self):
        """At once, as a crash does."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._owned.close()

    def execute(self, statement, database="postgres"):
        with psycopg.connect(self.conninfo(database), autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else None

    def create(self, name, template="template0"):
        """A new database; its address."""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return self.url(name)

    def url(self, name, user="tests"):
        return f"postgresql+psycopg://{user}@/{name}?host={self.folder}"

    def conninfo(self, name):
        return f"host={self.folder} user=tests dbname={name} connect_timeout=5"

    def _run(self, program, *args):
        command = [self._programs / program, *args]
        done = subprocess.run(
            command, capture_output=True, check=False, cwd=self.folder, user=self._user, group=self._user_group, extra_groups=self._groups
        )
        if done.returncode:
            raise NoServer(f"{program} cannot be run here: {done.stderr.decode()[-300:]}")

    @property
    def _user_group(self):
        return pwd.getpwnam(self._user).pw_gid if self._user else None

    @property
    def _groups(self):
        return [] if self._user else None


def _programs():
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    package = importlib.util.find_spec("pgserver")
    if package is not None:
        candidates.append(Path(package.origin).parent / "pginstall" / "bin")
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise NoServer("there is no PostgreSQL on this machine, and no wheel of pgserver for this Python and platform")


def _user():
    """Whom the server runs as, where that is not whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise NoServer("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _may_read(user, group, programs):
    try:
        command = [programs / "initdb", "--version"]
        return subprocess.run(command, user=user, group=group, extra_groups=[], capture_output=True, check=False).returncode == 0
    except PermissionError:
        return False


def _in_memory():
    """A folder that costs no disk, where there is one with room; None: the usual one."""
    folder = Path("/dev/shm")
    return folder if folder.is_dir() and shutil.disk_usage(folder).free > 2_000_000_000 else None


def _own(folder):
    """The lock that says that somebody lives in the folder: it ends with the process, however that ends."""
    lock = (folder / "moving-in").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    Path(lock.name).rename(folder / "owner")
    return lock


def _sweep(below):
    """Takes away what tests that were killed left. A server that still runs there stops by itself when it misses its files."""
    for owner in Path(below or tempfile.gettempdir()).glob(f"{_PREFIX}*/owner"):
        with suppress(OSError), owner.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(owner.parent, ignore_errors=True)
