"""What every command needs: the home folder, and one way to speak to people and to programs.

Results go to stdout, everything else to stderr; `--json` makes the result one JSON document.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

from gateway.settings import BadSetting, Settings, home_from, load_settings

if TYPE_CHECKING:
    from chain.genesis import Genesis
    from chain.ledger import Ledger
    from chain.store import LedgerStore
    from gateway.index.database import Index
    from gateway.services import Services

DONE, FINDINGS, COULD_NOT = 0, 1, 2
_MOST_BYTES = 64 << 20  # of a file that is read whole: a receipt, a pin, a genesis, a record


class CouldNot(click.ClickException):
    """The command could not do or check what was asked: exit code 2 and a sentence that says why."""

    exit_code = COULD_NOT

    def show(self, file: Any = None) -> None:
        """Of the message, which others may have a part in, the lines stay and nothing else that a terminal acts on."""
        told = "\n".join(map(printable, self.format_message().split("\n")))
        click.echo(f"fhir-anchor: {told}", err=True, file=file)


@contextmanager
def altered_told() -> Iterator[None]:
    """Around every command: what the gateway holds and did not write, or what was altered since, becomes exit code 2."""
    try:
        yield
    except Exception as error:  # only so that commands which need no vault start without importing it; all else goes on up
        from gateway.vault.errors import RowAltered, SealBroken

        if not isinstance(error, SealBroken):
            raise
        what = "gateway.db was altered" if isinstance(error, RowAltered) else "what the gateway holds was altered"
        hint = "; if a gateway of an earlier version made it, run `fhir-anchor upgrade`" if isinstance(error, RowAltered) else ""
        raise CouldNot(f"{what}: {error}. `fhir-anchor audit run` names all that is wrong{hint}") from error


@contextmanager
def stop_told() -> Iterator[None]:
    """Around every command: Ctrl-C and SIGTERM let it take away what it has begun, and become exit code 2, as it was not done."""
    is_main = threading.current_thread() is threading.main_thread()  # only there are handlers set
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_main else None
    try:
        yield
    except KeyboardInterrupt:
        raise CouldNot("stopped before it was done") from None
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)


def home_of(context: click.Context) -> Path:
    """`--home` of the outermost command, or its defaults."""
    return home_from(context.find_root().params.get("home"), os.environ)


def settings_of(context: click.Context, **flags: object) -> Settings:
    """Settings of the gateway that the command is about; BadSetting becomes exit code 2."""
    try:
        return load_settings(home_of(context), os.environ, **flags)
    except BadSetting as error:
        raise CouldNot(str(error)) from error


def services_of(context: click.Context, **flags: object) -> "Services":
    """The open services of the gateway that the command is about; what hinders that becomes exit code 2, also that another home took over.

    A bucket that cannot be reached hinders none of those that do without it.
    """
    from chain.errors import LedgerError
    from gateway.bootstrap import open_services
    from gateway.errors import GatewayError, Unavailable
    from gateway.tenure import TakenOver, tenure_of

    try:
        services = open_services(settings_of(context, **flags))
        context.call_on_close(services.index.close)
        if services.ledger is not None:
            context.call_on_close(services.ledger.close)
        try:
            tenure_of(services.index, services.keyring, services.store).verify()
        except TakenOver:
            raise
        except Unavailable:
            pass
        return services
    except (BadSetting, GatewayError, LedgerError, OSError) as error:
        raise CouldNot(str(error)) from error


@contextmanager
def opened_index(context: click.Context) -> Iterator["Index"]:
    """gateway.db of the gateway that the command is about; that it cannot be reached becomes exit code 2."""
    from gateway.errors import Unavailable
    from gateway.index.database import open_index

    index = open_index(settings_of(context).effective_database_url)
    try:
        yield index
    except Unavailable as error:
        raise CouldNot(str(error)) from error
    finally:
        index.close()


def instant(at: int) -> str:
    """Seconds since the epoch as people read them, in UTC."""
    return iso(at).replace("T", " ")


def iso(at: int) -> str:
    """Seconds since the epoch as `--json` tells them everywhere: 2026-11-23T04:25:29Z (ISO 8601)."""
    return datetime.fromtimestamp(at, UTC).isoformat("T", "seconds").removesuffix("+00:00") + "Z"


def iso_or_none(at: int | None) -> str | None:
    """The same, of what may not have come yet."""
    return None if at is None else iso(at)


@contextmanager
def opened_ledger(settings: Settings) -> Iterator[tuple["LedgerStore", "Genesis"]]:
    """The stored chain, read-only; what hinders that becomes exit code 2."""
    from sqlalchemy.exc import DatabaseError

    from chain.errors import LedgerError
    from chain.store import LedgerStore
    from gateway.bootstrap import read_genesis
    from gateway.storage.packs import object_reader

    try:
        genesis = read_genesis(settings)
        archive = object_reader(settings.effective_bucket_url)
        store = LedgerStore.open(settings.effective_ledger_url, genesis, read_only=True, archive=archive)
    except (LedgerError, OSError) as error:
        raise CouldNot(str(error)) from error
    except DatabaseError as error:
        raise CouldNot(f"ledger.db cannot be read: {error.orig}") from error
    try:
        yield store, genesis
    finally:
        store.close()


@contextmanager
def opened_chain(context: click.Context) -> Iterator["Ledger"]:
    """What the stored chain says, for reading; what hinders that, or is damaged, becomes exit code 2."""
    from chain.errors import LedgerError
    from chain.ledger import Ledger

    with opened_ledger(settings_of(context)) as (store, genesis):
        try:
            yield Ledger(store, genesis)
        except LedgerError as error:
            raise CouldNot(f"{error}; `ledger verify` says where") from error


@contextmanager
def bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr where that is a terminal, else nothing: a line for each thing that is done, with how much of it, of how much."""
    if not sys.stderr.isatty():
        yield lambda _what, _reached, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=False) as shown:
        tasks: dict[str, TaskID] = {}

        def show(what: str, reached: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what)
            shown.update(tasks[what], completed=reached, total=total)

        yield show


def read_file(path: Path) -> bytes:
    """That it cannot be read, or is too large for what files say here, becomes exit code 2."""
    try:
        with path.open("rb") as file:
            found = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CouldNot(f"{path}: {error.strerror or 'cannot be read'}") from error
    if len(found) > _MOST_BYTES:
        raise CouldNot(f"{path}: it is larger than any file that is taken here")
    return found


def check_out(out: Path) -> None:
    """Refuse, before any work, a file that is there already or cannot be made."""
    if out.exists():
        raise CouldNot(f"{out} is there already; credentials are never written over")
    if not out.parent.is_dir():
        raise CouldNot(f"{out.parent} is no folder; make it first")


def tell(result: object, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print the result once: as JSON for programs, else as `text` for people."""
    click.echo(_json(result) if as_json else text())


def _json(result: object) -> str:
    try:
        return msgspec.json.encode(result).decode()
    except UnicodeEncodeError:  # the name of a file that is not UTF-8, as Python has it
        return json.dumps(result)


def printable(text: str) -> str:
    """Names of files and what others say may hold anything: nothing of it reaches the terminal as a control character."""
    return "".join(character if character.isprintable() else "?" for character in text)


def with_options(options: dict[str, Callable[[Any], Any]], kind: Callable[..., Any]) -> Callable[[Callable[..., None]], Any]:
    """A decorator: the command has these options, by the names of their values, and gets all of them, its context first, as one `kind`."""

    def decorated(command: Callable[..., None]) -> Any:
        @wraps(command)
        def told(context: click.Context, /, **given: Any) -> None:
            command(kind(context, **{name: given.pop(name) for name in options}), **given)

        for option in reversed(options.values()):
            told = option(told)
        return click.pass_context(told)

    return decorated


def leave(code: int) -> NoReturn:
    """End with one of the three exit codes."""
    sys.exit(code)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
