"""What a backup is encrypted for, and what opens it: options of `backup`, and the command that makes a key."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from gateway.commands.context import CouldNot, check_out, json_option, tell

if TYPE_CHECKING:
    from gateway.vault.age_file import Identity, Recipient
    from gateway.vault.age_keys import Passphrase

_T = TypeVar("_T")
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

recipient_option = click.option(
    "--recipient", "recipients", multiple=True, metavar="KEY|FILE", help="Encrypt for this key, age1pq1..., or those of a file. Repeatable."
)
passphrase_option = click.option(
    "--passphrase-file", type=_FILE, help="Its first line is the passphrase that the backup is encrypted under."
)
identity_option = click.option(
    "--identity", "identities", type=_FILE, multiple=True, help="A file with a key that opens an encrypted backup. Repeatable."
)


def recipients_from(texts: Sequence[str], passphrase_file: Path | None) -> "list[Recipient]":
    """Raises CouldNot."""
    from gateway.vault.age_keys import parse_recipient

    if texts and passphrase_file:
        raise CouldNot("a backup is encrypted for keys or under a passphrase, not both")
    found: list[Recipient] = [] if passphrase_file is None else [_passphrase(passphrase_file)]
    for text in texts:
        lines = [text] if text.startswith("age1") or not Path(text).is_file() else _lines(Path(text))
        found += _parsed(lines, parse_recipient, "--recipient")
    return found


def identities_from(files: Sequence[Path], passphrase_file: Path | None) -> "list[Identity]":
    """Raises CouldNot."""
    from gateway.vault.age_keys import parse_identity

    found: list[Identity] = [] if passphrase_file is None else [_passphrase(passphrase_file)]
    for file in files:
        found += _parsed(_lines(file), parse_identity, f"--identity {file}")
    return found


@click.command("new-key", epilog="Example: fhir-anchor backup new-key --out backup.key")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new file for the key; keep it apart from the backups.")
@json_option
def new_key(out: Path, as_json: bool) -> None:
    """Make a key for encrypted backups, and print what to give to `backup create --recipient`. `age` 1.3 reads and makes such keys, too.

    Whoever has lost the key has lost the backups: keep a copy of it, not on the gateway.
    """
    from gateway.vault.age_keys import identity_text, new_identity, recipient_text

    check_out(out)
    identity = new_identity(os.urandom)
    public = recipient_text(identity)
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"# public key: {public}\n{identity_text(identity)}\n")
        file.flush()
        os.fsync(file.fileno())
    tell({"key": str(out), "recipient": public}, as_json=as_json, text=lambda: public)


def _passphrase(file: Path) -> "Passphrase":
    from gateway.vault.age_keys import Passphrase

    text = file.read_text().partition("\n")[0].removesuffix("\r")
    if not text:
        raise CouldNot(f"--passphrase-file {file}: its first line is empty")
    return Passphrase(text)


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]


def _parsed(lines: list[str], parse: Callable[[str], _T], option: str) -> list[_T]:
    try:
        found = [parse(line) for line in lines]
    except ValueError as error:
        raise CouldNot(f"{option}: {error}") from error
    if not found:
        raise CouldNot(f"{option}: there is no key in it")
    return found
