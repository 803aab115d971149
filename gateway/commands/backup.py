"""`fhir-anchor backup`: keep a copy of what a gateway cannot be without, and come back from it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.commands.backup_keys import (
    identities_from,
    identity_option,
    new_key,
    passphrase_option,
    recipient_option,
    recipients_from,
)
from gateway.commands.context import (
    COULD_NOT,
    FINDINGS,
    CouldNot,
    bar,
    home_of,
    instant,
    iso,
    json_option,
    leave,
    services_of,
    settings_of,
    tell,
)
from gateway.settings import check_settings, databases_from, load_settings
from gateway.wording import counted

if TYPE_CHECKING:
    from gateway.backup.bucket import Compared
    from gateway.backup.creation import Created
    from gateway.backup.manifest import Manifest
    from gateway.backup.restoring import Restored

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.group(
    epilog="Examples: fhir-anchor --home ./gw backup create --out /mnt/backups   "
    "fhir-anchor --home ./new backup restore backup.tar --ledger /mnt/old-disk/gw/ledger.db"
)
def backup() -> None:
    """One file with databases, chain, settings and keys, of files or of PostgreSQL; the bucket is kept apart. See docs/backup.md."""


@backup.command(epilog="Example: fhir-anchor --home ./gw backup create --out /mnt/backups")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new file, or a folder that is there.")
@click.option("--without-keys", is_flag=True, help="Leave all keys out; keep a copy of HOME/keys apart, restore asks for it.")
@recipient_option
@passphrase_option
@json_option
@click.pass_context
def create(
    context: click.Context, out: Path, without_keys: bool, recipients: tuple[str, ...], passphrase_file: Path | None, as_json: bool
) -> None:
    """Make a backup, also while `serve` runs. It holds every key unless --without-keys: who has it and the bucket reads everything.

    With --recipient or --passphrase-file it is encrypted, as by `age`, and tells nothing but its size (`backup new-key` makes a key).

    Exit codes: 0 made, 1 made and the bucket lacks containers, 2 not made.
    """
    from gateway.backup.creation import create as create_backup

    settings = settings_of(context)
    with _in_words(refused=COULD_NOT), bar() as progress:
        keys = recipients_from(recipients, passphrase_file)
        created = create_backup(
            settings, out, with_keys=not without_keys, recipients=keys, now=int(time.time()), random=os.urandom, progress=progress
        )
    told = {
        "file": str(created.path),
        "size": created.size,
        "encrypted": bool(keys),
        **_told(created.manifest),
        "missing": list(created.bucket.missing),
    }
    tell(told, as_json=as_json, text=lambda: _created_text(created, is_encrypted=bool(keys)))
    leave(FINDINGS if created.bucket.missing_count else 0)


@backup.command(epilog="Example: fhir-anchor backup verify /mnt/backups/fhir-anchor-1f2e3d4c-1790000000.tar")
@click.argument("file", type=_FILE)
@click.option("--keys", type=_FOLDER, help="The folder with kek.json, for a backup without keys.")
@identity_option
@passphrase_option
@json_option
def verify(file: Path, keys: Path | None, identities: tuple[Path, ...], passphrase_file: Path | None, as_json: bool) -> None:
    """Check every part of FILE: hashes, both databases, every block of the chain, and that the keys open what they must.

    Needs room beside FILE for what is in it, for an encrypted one in $TMPDIR. Exit codes: 0 whole, 1 damaged, 2 it could not be checked: an
    encrypted file does not open with this key or passphrase, was altered or is cut.
    """
    from gateway.backup.contents import verify_backup

    with _in_words(), bar() as progress:
        manifest = verify_backup(file, keys, identities_from(identities, passphrase_file), progress)
    checked = manifest.with_keys or keys is not None
    told = {"file": str(file), **_told(manifest), "keyring_checked": checked}
    unchecked = "" if checked else "\nThe keys were not checked: it was made without them; say with --keys where they are."
    tell(told, as_json=as_json, text=lambda: f"{file} is whole: {_summary(manifest)}.{unchecked}")


@backup.command(
    epilog="Examples: fhir-anchor --home ./new backup restore backup.tar --ledger /mnt/old-disk/gw/ledger.db   "
    "fhir-anchor --home ./new backup restore backup.tar --known-height 814 --database-url postgresql+psycopg://... --ledger-url ..."
)
@click.argument("file", type=_FILE)
@click.option("--bucket", "bucket_url", help="Where the bucket is now [where it was].")
@click.option("--keys", type=_FOLDER, help="The folder with the gateway's keys, for a backup without them.")
@identity_option
@passphrase_option
@click.option("--database-url", help="Put the index into this empty database, postgresql+psycopg://... [a file in --home].")
@click.option("--ledger-url", help="Put the chain into this empty database, postgresql+psycopg://... [a file in --home].")
@click.option(
    "--ledger",
    metavar="FILE|URL",
    help="The ledger that was in use last, if it is left: its ledger.db, or its PostgreSQL address; a delegate elsewhere has one, too.",
)
@click.option(
    "--receipt", "receipts", type=_FILE, multiple=True, help="A receipt from after the backup: the chain was that high. Repeatable."
)
@click.option("--known-height", type=click.IntRange(min=0), help="No delegate signed a block above this height: you know it for sure.")
@click.option(
    "--sign-although-later-blocks-may-exist",
    "regardless",
    is_flag=True,
    help="Go on where the ledger ends, though later blocks may have been signed: signing those heights again is provable as equivocation.",
)
@json_option
@click.pass_context
def restore(
    context: click.Context,
    file: Path,
    bucket_url: str | None,
    keys: Path | None,
    identities: tuple[Path, ...],
    passphrase_file: Path | None,
    database_url: str | None,
    ledger_url: str | None,
    ledger: str | None,
    receipts: tuple[Path, ...],
    known_height: int | None,
    regardless: bool,
    as_json: bool,
) -> None:
    """Put the gateway of FILE into --home, a new folder. The gateway that was lost must not run any more, anywhere.

    Whatever its databases were, they go into files in --home, or into PostgreSQL where --database-url and --ledger-url (or
    FHIR_ANCHOR_DATABASE_URL and FHIR_ANCHOR_LEDGER_URL, which are not written down) say so: a way from one to the other, too.

    Everything acknowledged before the backup is there. What came later is listed and stays in the bucket until `backup accept-loss`.
    Exit codes: 0 restored, 1 refused or damaged, 2 it could not be done.
    """
    from gateway.backup.restoring import Request
    from gateway.backup.restoring import restore as restore_backup

    home = home_of(context)
    databases = {name: url for name, url in (("database_url", database_url), ("ledger_url", ledger_url)) if url}
    with _in_words(), bar() as progress:
        check_settings(databases)
        newest = None if ledger is None else _ledger_url(ledger)
        unsaved = {name: url for name, url in databases_from(os.environ).items() if name not in databases}
        opening = identities_from(identities, passphrase_file)
        known = (receipts, known_height, regardless, int(time.time()))
        request = Request(file, opening, home, bucket_url, databases, unsaved, keys, newest, *known)
        restored = restore_backup(request, progress)
    tell(_restored_told(home, restored), as_json=as_json, text=lambda: _restored_text(home, restored))


def _ledger_url(text: str) -> str:
    from chain.postgresql import is_postgresql

    if is_postgresql(text):
        check_settings({"ledger_url": text})
        return text
    if not Path(text).is_file():
        raise click.BadParameter(f"there is no file {text}", param_hint="--ledger")
    return f"sqlite:///{Path(text).resolve()}"


@backup.command("accept-loss", epilog="Example: fhir-anchor --home ./gw backup accept-loss")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def accept_loss(context: click.Context, yes: bool, as_json: bool) -> None:
    """After a restore: give up what was written after the backup. The sweeper removes it from then on, and audits count it as lost.

    Have senders push again first what they were promised: nothing that this gateway knows opens those objects.
    """
    from gateway.errors import GatewayError
    from gateway.index import restores

    if not yes:
        click.confirm("Objects that were written after the backup will be removed for good. Go on?", abort=True, err=True)
    services = services_of(context)
    try:
        with services.index.atomic() as connection:
            accepted = restores.accept(connection, int(time.time()))
    except GatewayError as error:
        raise CouldNot(str(error)) from error
    tell(
        {"accepted": accepted},
        as_json=as_json,
        text=lambda: f"{counted(accepted, 'restores')} accepted." if accepted else "Nothing waited for this.",
    )


backup.add_command(new_key)


@contextmanager
def _in_words(refused: int = FINDINGS) -> Iterator[None]:
    """What hinders a backup, as a sentence: exit code `refused` where it is refused or damaged, 2 where something else failed."""
    from gateway.backup.manifest import BackupDamaged, BackupRefused
    from gateway.errors import GatewayError
    from gateway.founding import FoundingRefused
    from gateway.settings import BadSetting

    try:
        yield
    except (BackupDamaged, BackupRefused) as error:
        what = "the backup is damaged: " if isinstance(error, BackupDamaged) else ""
        click.echo(f"fhir-anchor: {what}{error}", err=True)
        leave(refused)
    except (BadSetting, FoundingRefused, GatewayError, ValueError, OSError) as error:
        raise CouldNot(str(error)) from error


def _told(manifest: "Manifest") -> dict[str, object]:
    named = ("chain_id", "height", "head", "counts", "with_keys", "missing_objects")
    return {"made_at": iso(manifest.made_at), **{name: getattr(manifest, name) for name in named}}


def _summary(manifest: "Manifest") -> str:
    counts = manifest.counts
    return (
        f"made {instant(manifest.made_at)}, chain up to height {manifest.height}, {counted(counts['resource'], 'records')} in"
        f" {counted(counts['container'], 'containers')}, {'with' if manifest.with_keys else 'WITHOUT'} keys"
    )


def _created_text(created: "Created", *, is_encrypted: bool) -> str:
    lines = [f"{created.path}  {created.size / 1e6:.1f} MB, {_summary(created.manifest)}."]
    if is_encrypted:
        lines.append("It is encrypted: keep what opens it apart from it, and where the loss of this gateway does not take it along.")
    elif created.manifest.with_keys:
        lines.append("It holds every key of this gateway. Keep it where only its operator can read it, apart from the bucket.")
    if not created.manifest.with_keys:
        lines.append("Keep a copy of the gateway's `keys` folder apart: without it nothing in this backup or in the bucket can be opened.")
    if created.bucket.missing_count:
        lines.append(_lacking(created.bucket))
    return "\n".join(lines)


def _restored_told(home: Path, restored: "Restored") -> dict[str, object]:
    from gateway.backup.restoring import LATER

    return {
        "home": str(home),
        "databases": _places(home),
        **_told(restored.manifest),
        "goes_on_after_height": restored.height,
        "containers": restored.bucket.containers,
        "missing": list(restored.bucket.missing),
        "written_later": restored.bucket.unknown,
        "written_later_names": str(home / LATER),
        "grants_in_force": restored.grants_in_force,
        "erased_again": restored.erased_again,
    }


def _places(home: Path) -> dict[str, str]:
    """Where its databases are now; nothing of an address but its place."""
    from chain.postgresql import is_postgresql, place

    settings = load_settings(home, os.environ)
    urls = {"index": settings.effective_database_url, "chain": settings.effective_ledger_url}
    return {what: place(url) if is_postgresql(url) else url.removeprefix("sqlite:///") for what, url in urls.items()}


def _restored_text(home: Path, restored: "Restored") -> str:
    from gateway.backup.restoring import LATER

    made_at = instant(restored.manifest.made_at)
    lines = [
        f"Restored into {home}: {_summary(restored.manifest)}. The chain goes on after height {restored.height}.",
        *_later(home / LATER, restored.bucket.unknown),
        f"In force: {counted(restored.grants_in_force, 'grants')}.",
        f"What was revoked after {made_at} is known only where the ledger has it; ask.",
    ]
    if restored.bucket.missing_count:
        lines.append(_lacking(restored.bucket))
    if restored.erased_again:
        lines.append(f"Erased after the backup, and now again: the keys of {counted(restored.erased_again, 'archives')}.")
    lines += [f"{what}: {place}" for what, place in _places(home).items()]
    return "\n".join(
        [*lines, f"Start it:  fhir-anchor --home {home} serve   (from then on it is the gateway, and the home of before refuses to be)"]
    )


def _lacking(bucket: "Compared") -> str:
    return f"The bucket LACKS {counted(bucket.missing_count, 'containers')} that the database names; run `audit run --level storage`."


def _later(listed: Path, unknown: int) -> list[str]:
    if not unknown:
        return ["Nothing was written to the bucket after the backup."]
    return [
        f"Written to the bucket after the backup: {counted(unknown, 'objects')}, listed in {listed}.",
        "What is listed stays until `backup accept-loss`; have its senders push again what they were promised.",
    ]
