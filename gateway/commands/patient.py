"""`fhir-anchor patient`: enrol patients, and decide whose archives are one person's."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.commands.context import FINDINGS, CouldNot, check_out, instant, iso, iso_or_none, json_option, leave, services_of, tell
from gateway.settings import DEFAULT_BASE_URL
from gateway.wording import counted

if TYPE_CHECKING:
    from gateway.index.persons import ReviewLine


@click.group(
    epilog="Examples: fhir-anchor --home ./gw patient enrol --identifier 'https://ids.example.org/person|4471' --out patient.json   "
    "fhir-anchor --home ./gw patient review list"
)
def patient() -> None:
    """Patients own their archives. A custodial archive is there from the first record on; enrolling lets its patient sign in."""


@patient.command(
    epilog="Example: fhir-anchor --home ./gw patient enrol --identifier 'https://ids.example.org/person|4471' --out marit.json"
)
@click.option("--identifier", required=True, metavar="'SYSTEM|VALUE'", help="An identifier of the patient, as an institution sent it.")
@click.option("--url", help=f"Address of the gateway as the patient reaches it [FHIR_ANCHOR_BASE_URL; {DEFAULT_BASE_URL}].")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where the credentials go, mode 0600.")
@click.option("--joined", is_flag=True, help="Some that are joined with this patient lack the identifier; you know they are one person.")
@json_option
@click.pass_context
def enrol(context: click.Context, identifier: str, url: str | None, out: Path, joined: bool, as_json: bool) -> None:
    """Give the one patient with this identifier credentials. Check who asks before you run it. Exit code 1 if it is not exactly one."""
    from gateway.client.credentials import BadCredentials
    from gateway.errors import Unavailable
    from gateway.registration import NotOnePatient, enrol_patient

    system, value = _system_and_value(identifier)
    check_out(out)
    services = services_of(context)
    base_url = url or services.settings.base_url or DEFAULT_BASE_URL
    try:
        enrolled = enrol_patient(services, system, value, base_url, out, now=int(time.time()), random=os.urandom, is_joined=joined)
    except NotOnePatient as error:
        click.echo(f"fhir-anchor: {error}", err=True)
        leave(FINDINGS)
    except (BadCredentials, Unavailable, OSError) as error:
        raise CouldNot(str(error)) from error
    told = {"client_id": enrolled.client_id, "credentials": str(out)}
    tell(told, as_json=as_json, text=lambda: f"Enrolled as {enrolled.client_id}; the credentials are in {out} (for the patient alone).")


_identifier = click.option(
    "--identifier", required=True, metavar="'SYSTEM|VALUE'", help="An identifier of the patient, as an institution sent it."
)


@patient.command(epilog="Example: fhir-anchor --home ./gw patient erase --identifier 'https://ids.example.org/person|4471'")
@_identifier
@click.option("--joined", is_flag=True, help="Several archives are joined as this patient's; you know they are one person's.")
@click.option("--wait", type=click.FloatRange(0), default=30, show_default=True, help="Seconds to wait for who holds the database's files.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def erase(context: click.Context, identifier: str, joined: bool, wait: float, yes: bool, as_json: bool) -> None:
    """Destroy the keys of the one patient with this identifier, for good: nothing of theirs can be read any more, by anyone.

    Chain and receipts stay; they hold no content. Every restore destroys the keys again. Then the database's files are written anew, while
    writers wait. Exit code 1 if a hold forbids it, or it is not exactly one patient; 2 if it could not be done, or not be finished: run it
    again.
    """
    from gateway.erasure import erase as erase_patient

    system, value = _system_and_value(identifier)
    if not yes:
        click.confirm("All records of this patient will be unreadable for good. Go on?", abort=True, err=True)
    with _one_patient():
        erased = erase_patient(services_of(context), system, value, is_joined=joined, patience=wait)
    told = {"archives": erased.archives, "records": erased.records}
    tell(
        told,
        as_json=as_json,
        text=lambda: f"Erased: {counted(erased.records, 'records')}. Backups of before still hold the keys: destroy them, too.",
    )


@patient.command(epilog="Example: fhir-anchor --home ./gw patient hold --identifier 'https://ids.example.org/person|4471'")
@_identifier
@click.option("--lift", is_flag=True, help="End the hold.")
@json_option
@click.pass_context
def hold(context: click.Context, identifier: str, lift: bool, as_json: bool) -> None:
    """Forbid to erase the one patient with this identifier, as long as the law wants the records kept."""
    from gateway.erasure import archives_of
    from gateway.index import erasures

    system, value = _system_and_value(identifier)
    services = services_of(context)
    with _one_patient(), services.index.atomic() as connection:
        rows = archives_of(services, connection, system, value)
        if lift:
            erasures.lift(connection, rows)
        else:
            erasures.hold(connection, rows, int(time.time()))
    tell({"held": not lift}, as_json=as_json, text=lambda: "The hold is lifted." if lift else "The patient is under a hold.")


def _system_and_value(identifier: str) -> tuple[str, str]:
    system, bar, value = identifier.partition("|")
    if not (system and bar and value):
        raise CouldNot("--identifier must be 'SYSTEM|VALUE', such as 'https://ids.example.org/person|4471'")
    return system, value


@contextmanager
def _one_patient() -> Iterator[None]:
    """Exit code 1 where it is refused or not exactly one patient, 2 where it could not be done."""
    from sqlalchemy.exc import SQLAlchemyError

    from gateway.errors import Conflict, Unavailable
    from gateway.index.traces import TracesRemain
    from gateway.registration import NotOnePatient

    try:
        yield
    except TracesRemain as error:
        raise CouldNot(
            f"the patient is erased: nothing of theirs opens any more. But {error}, and its files still hold the sealed keys, for whoever"
            " has the key-encryption key. Run the same command again when no gateway, audit or backup runs"
        ) from error
    except SQLAlchemyError as error:
        raise CouldNot(f"the database could not do it: {type(error).__name__}") from error
    except (NotOnePatient, Conflict) as error:
        click.echo(f"fhir-anchor: {error}", err=True)
        leave(FINDINGS)
    except (Unavailable, OSError) as error:
        raise CouldNot(str(error)) from error


@patient.group(epilog="Example: fhir-anchor --home ./gw patient review list")
def review() -> None:
    """Pairs of archives that may be one person's. Nothing is guessed: what does not agree waits here for an operator."""


@review.command("list", epilog="Example: fhir-anchor --home ./gw patient review list --all --json")
@click.option("--all", "decided_too", is_flag=True, help="Decided lines, too.")
@json_option
@click.pass_context
def list_lines(context: click.Context, decided_too: bool, as_json: bool) -> None:
    """The queue: number, the two Patients, why, since when. It shows no identifier."""
    from gateway.index import consents, persons

    services = services_of(context)
    with services.index.reading() as connection:
        found = persons.lines(connection, decided_too=decided_too)
        rows = {archive: consents.patient_resource(connection, archive) for line in found for archive in (line.archive, line.other)}
    names = {archive: f"Patient/{services.ids.encode([row])[0]}" if row else "(deleted)" for archive, row in rows.items()}
    told = [
        {
            "number": line.row,
            "patients": [names[line.archive], names[line.other]],
            "reason": line.reason,
            "opened_at": iso(line.opened_at),
            "decision": line.decision,
            "decided_at": iso_or_none(line.decided_at),
        }
        for line in found
    ]
    tell({"lines": told}, as_json=as_json, text=lambda: "\n".join(map(_line, told, found)) or "Nothing waits for a decision.")


def _line(told: dict[str, Any], line: "ReviewLine") -> str:
    one, other = told["patients"]
    decided = f"  {line.decision} {instant(line.decided_at)}" if line.decided_at is not None else ""
    return f"{line.row:>5}  {line.reason:<16}  {one}  {other}  {instant(line.opened_at)}{decided}"


@review.command(epilog="Example: fhir-anchor --home ./gw patient review join 7")
@click.argument("number", type=click.IntRange(min=1))
@json_option
@click.pass_context
def join(context: click.Context, number: int, as_json: bool) -> None:
    """The two are one person: join their archives. From now on a consent on one holds for both; `patient split` takes it back."""
    _decide(context, number, "join", as_json=as_json)


@review.command("keep-apart", epilog="Example: fhir-anchor --home ./gw patient review keep-apart 7")
@click.argument("number", type=click.IntRange(min=1))
@json_option
@click.pass_context
def keep_apart(context: click.Context, number: int, as_json: bool) -> None:
    """The two are different persons. They are not joined again by themselves, whatever is sent later."""
    _decide(context, number, "keep-apart", as_json=as_json)


def _decide(context: click.Context, number: int, decision: str, *, as_json: bool) -> None:
    from gateway import joining
    from gateway.errors import Refused, Unavailable

    services = services_of(context)
    try:
        with services.index.atomic() as connection:
            joining.decide(connection, number, decision, int(time.time()))
    except Refused as error:
        click.echo(f"fhir-anchor: {error}", err=True)
        leave(FINDINGS)
    except Unavailable as error:
        raise CouldNot(str(error)) from error
    tell({"number": number, "decision": decision}, as_json=as_json, text=lambda: f"Line {number}: {decision}.")


@patient.command(epilog="Example: fhir-anchor --home ./gw patient split Patient/0f6b2c7e9d3a4b5c8e1f2a3b4c5d6e7f")
@click.argument("name", metavar="PATIENT")
@json_option
@click.pass_context
def split(context: click.Context, name: str, as_json: bool) -> None:
    """Take the archive of PATIENT (the gateway's id) off those it is joined with. Each consent holds again only where it was given.

    What was read by a consent of another archive stops with this command. Exit code 1 if it is joined with none.
    """
    from gateway import joining
    from gateway.errors import Refused, Unavailable

    services = services_of(context)
    try:
        with services.index.atomic() as connection:
            rest = joining.split(services, connection, name.removeprefix("Patient/"), int(time.time()))
    except Refused as error:
        click.echo(f"fhir-anchor: {error}", err=True)
        leave(FINDINGS)
    except Unavailable as error:
        raise CouldNot(str(error)) from error
    told = {"patient": name, "still_joined": len(rest) if len(rest) > 1 else 0}
    tell(told, as_json=as_json, text=lambda: f"{name} stands by itself again.")
