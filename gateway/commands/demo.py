"""`fhir-anchor demo`: the whole path once, with real processes, in a folder and on a port of its own."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import click

from gateway.commands.context import DONE, FINDINGS, CouldNot, json_option, leave
from gateway.commands.gcs_emulator import NoEmulator, emulated_bucket
from gateway.settings import load_settings
from gateway.storage.opening import open_object_store
from gateway.wording import counted

_START_SECONDS = 60
_RECORD = "Observation"
Say = Callable[[str], None]


class Unexpected(Exception):
    """A step did not end as it must."""


@click.command(epilog="Examples: fhir-anchor demo   fhir-anchor demo --gcs")
@click.option("--gcs", "on_gcs", is_flag=True, help="Keep containers in Google Cloud Storage, of which an emulator is started.")
@json_option
def demo(*, on_gcs: bool, as_json: bool) -> None:
    """Make a gateway, push a bundle, verify a receipt offline, tamper, and see it found. Leaves nothing behind."""
    started = time.monotonic()
    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        click.echo(f"{len(told):>2}. {text}", err=as_json)

    with tempfile.TemporaryDirectory(prefix="fhir-anchor-demo-") as folder, _bucket(on_gcs=on_gcs) as bucket_url:
        try:
            _tell_the_story(Stage(Path(folder), bucket_url), say)
        except Unexpected as error:
            click.echo(json.dumps({"ok": False, "steps": told, "failed": str(error)}))
            leave(FINDINGS)
    click.echo(json.dumps({"ok": True, "steps": told if as_json else len(told), "seconds": round(time.monotonic() - started, 1)}))
    leave(DONE)


@contextmanager
def _bucket(*, on_gcs: bool) -> Iterator[str | None]:
    """The address of the bucket, if it is not to be the gateway's own folder."""
    if not on_gcs:
        yield None
        return
    try:
        with emulated_bucket("demo-bucket") as url:
            yield f"{url}/gateway"
    except NoEmulator as error:
        raise CouldNot(str(error)) from error


def _tell_the_story(stage: "Stage", say: Say) -> None:
    where = ("--bucket", stage.bucket_url) if stage.bucket_url else ()
    stage.run("init", "--slot-seconds", "1", "--shared-system", "https://ids.example.org/person", *where)
    say(f"A gateway is made: keys, a genesis file, two databases and a bucket{', ' + stage.bucket_url if stage.bucket_url else ''}.")
    with stage.served() as url:
        say(f"It runs at {url}: web workers, and a jobs process with four delegates that make a block a second.")
        hospital, bundle = stage.path("hospital.json"), stage.path("bundle.json")
        stage.run("party", "register", "institution", "Nordvik Hospital", "--url", url, "--out", hospital)
        say("Nordvik Hospital is registered. Its private keys are in its own file; the ledger records the public ones.")
        bundle.write_bytes(resources.files("gateway").joinpath("assets/demo-bundle.json").read_bytes())
        pushed = stage.json("push", "--as", hospital, bundle)
        say(f"The hospital signs and pushes a bundle: {pushed['created']} records of one patient are checked, sealed and stored.")
        again = stage.json("push", "--as", hospital, bundle)
        if (pushed["failed"], again["created"]) != (0, 0):
            raise Unexpected("the second push wrote something, or the first was refused")
        say("Pushed again, nothing is written twice.")
        receipt = _hold_a_receipt(stage, hospital, pushed["receipts"], say)
    say("The gateway is stopped. What follows needs only files.")
    _verify_and_tamper(stage, receipt, say)
    _audit_and_tamper(stage, say)


def _hold_a_receipt(stage: "Stage", hospital: Path, receipts: list[dict[str, str]], say: Say) -> Path:
    from gateway.client.connection import Connection
    from gateway.client.credentials import read

    name = next(r["record"] for r in receipts if r["record"].startswith(_RECORD + "/"))
    receipt = stage.path("receipt.json")
    stage.run("receipt", "get", "--as", hospital, name, "--wait", "--out", receipt)
    connection = Connection(read(hospital))
    stage.path("record.json").write_bytes(connection.ask("GET", f"/fhir/{name}").body)
    connection.close()
    say(f"One of them, a blood test or a measurement ({_RECORD}), is read back, and its receipt fetched: {receipt.stat().st_size} bytes.")
    return receipt


def _verify_and_tamper(stage: "Stage", receipt: Path, say: Say) -> None:
    record, genesis = stage.path("record.json"), stage.home / "genesis.json"
    verify = ("receipt", "verify", receipt, "--record", record, "--genesis", genesis)
    verdict = stage.json(*verify)["receipts"][0]
    say(f"The receipt verifies offline: {verdict['who']}, accepted in block {verdict['height']} by {verdict['votes']} delegates.")
    stage.run(*verify, "--independent")
    say("A second program, which shares no code with the gateway, says the same.")
    held = record.read_bytes()
    record.write_bytes(held.replace(b'"final"', b'"Final"', 1))
    stage.run(*verify, expect=FINDINGS)
    say("One letter of the record is changed: the receipt no longer fits it.")


def _audit_and_tamper(stage: "Stage", say: Say) -> None:
    report = stage.json("audit", "run")
    counts = ", ".join(counted(count, what) for what, count in report["checked"].items())
    say(f"An audit of chain and storage is clean ({counts}).")
    store = open_object_store(load_settings(stage.home, {}).effective_bucket_url)
    victim = next(iter(store.list())).name
    held = store.get(victim)
    store.delete(victim)
    store.put_if_absent(victim, held[:200] + bytes([held[200] ^ 1]) + held[201:])
    found = stage.json("audit", "run", expect=FINDINGS)["findings"]
    if [f["code"] for f in found] != ["container-altered"] or victim not in found[0]["subject"]:
        raise Unexpected("the audit did not name the altered container")
    say(f"One bit in the bucket is flipped: the audit names it ({found[0]['code']}, {victim[:16]}...).")
    store.delete(victim)
    found = stage.json("audit", "run", expect=FINDINGS)["findings"]
    if [f["code"] for f in found] != ["container-missing"]:
        raise Unexpected("the audit did not name the missing container")
    say("The object is deleted: the audit names that too.")
    store.put_if_absent(victim, held)
    stage.run("audit", "run")
    say("Put back as it was, everything verifies again.")


@dataclass(slots=True)
class Stage:
    """A home folder, and the fhir-anchor command run on it as a person would."""

    folder: Path
    bucket_url: str | None = None
    home: Path = field(init=False)

    def __post_init__(self) -> None:
        self.home = self.folder / "gateway"

    def path(self, name: str) -> Path:
        return self.folder / name

    def run(self, *args: object, expect: int = DONE) -> str:
        """Stdout of one command; Unexpected if it ends otherwise than it must."""
        done = subprocess.run(self._command(*args), capture_output=True, text=True, check=False, env=_environment())
        if done.returncode != expect:
            raise Unexpected(f"fhir-anchor {args[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
        return done.stdout

    def json(self, *args: object, expect: int = DONE) -> Any:
        return json.loads(self.run(*args, "--json", expect=expect))

    @contextmanager
    def served(self) -> Iterator[str]:
        """The gateway, running; its address. Stopped as an operator would."""
        with self.path("serve.log").open("wb") as log:
            process = subprocess.Popen(
                self._command("serve", "--port", "0"),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=_environment(),
                start_new_session=True,
            )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "http://" not in line:
                raise CouldNot("the gateway did not start: " + self.path("serve.log").read_text(errors="replace")[-500:])
            yield line.split()[-1]
        finally:
            process.terminate()
            process.wait(_START_SECONDS)
            assert process.stdout is not None
            process.stdout.close()

    def _command(self, *args: object) -> list[str]:
        return [sys.executable, "-m", "gateway", "--home", str(self.home), *map(str, args)]


def _environment() -> dict[str, str]:
    """The demo's own settings count, not those of a gateway that may be set up around it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FHIR_ANCHOR_")}
