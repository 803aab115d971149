"""Backups and restores without a running gateway: what is refused, what is said, what is left alone."""

import json
import shutil
import sqlite3
import stat
import tarfile
from contextlib import closing

import pytest
from backup_case import Home, cli, made, restored

from chain.watermark import read_marks
from gateway import erasure
from gateway.bootstrap import open_services, read_genesis
from gateway.index import archives, containers, restores
from gateway.index.row_numbers import take
from gateway.settings import load_settings
from gateway.vault.erasure_mark import mark_body, mark_name
from gateway.vault.errors import RowAltered

PERSONS = "https://ids.example.org/person"


@pytest.fixture
def gateway(tmp_path):
    return made(tmp_path / "gw")


def test_a_backup_says_what_is_in_it_and_is_whole(gateway):
    assert stat.S_IMODE(gateway.file.stat().st_mode) == 0o600
    with tarfile.open(gateway.file) as tar:
        names = tar.getnames()
    assert {"keys/delegate-1.json", "keys/gateway.json", "keys/kek.json", "keys/rows-tagged"} <= set(names)
    assert not [name for name in names if "watermark" in name or "lock" in name]
    assert (gateway.told["with_keys"], gateway.told["missing"]) == (True, [])
    verified = json.loads(cli("backup", "verify", gateway.file, "--json").stdout)
    assert verified["keyring_checked"]
    assert verified["height"] == gateway.told["height"] > 0
    cli("--home", gateway.home, "backup", "create", "--out", gateway.file, expect=2)  # never written over
    (next((gateway.home / "bucket").glob("*/*.container"))).unlink()
    lacking = cli("--home", gateway.home, "backup", "create", "--out", gateway.home.parent / "second.tar", "--json", expect=1)
    assert len(json.loads(lacking.stdout)["missing"]) == 1


def test_a_damaged_backup_is_neither_verified_nor_restored(gateway):
    body = bytearray(gateway.file.read_bytes())
    body[body.index(b"SQLite format 3") + 5000] ^= 1
    gateway.file.chmod(0o600)
    gateway.file.write_bytes(body)
    assert "damaged" in cli("backup", "verify", gateway.file, expect=1).output
    assert "damaged" in restored(gateway, "--known-height", 99, expect=1)
    (gateway.home / "keys/gateway.json").unlink()
    lacking = gateway.home.parent / "second.tar"
    cli("--home", gateway.home, "backup", "create", "--out", lacking)
    assert "gateway.json is no usable key file" in cli("backup", "verify", lacking, expect=1).output


def test_without_evidence_nothing_is_restored(gateway):
    height = gateway.told["height"]
    assert "--ledger" in restored(gateway, expect=1)
    assert "signed twice" in restored(gateway, "--known-height", height + 1, expect=1)
    again = restored(gateway, "--known-height", height)
    genesis = read_genesis(load_settings(again.home, {}))
    marks = read_marks(again.home / "keys" / "delegate-1.watermark", genesis.chain_id, genesis.delegates[0].key)
    assert {at for at, _ in marks.values()} == {height}
    assert again.audit().findings == ()
    refused = cli("--home", gateway.home, "backup", "restore", gateway.file, "--known-height", height, expect=1)
    assert "not empty" in refused.output


def test_what_came_later_is_kept_until_it_is_given_up(gateway):
    lost = gateway.push(2)
    waiting = gateway.push(3, final=False)
    gateway.produce(blocks=False)
    shutil.copytree(gateway.home, gateway.home.parent / "old")
    again = restored(gateway, "--ledger", gateway.home / "ledger.db")
    assert again.told["written_later"] == 2
    new = again.push(4)
    assert not set(new) & {*gateway.names, *lost, *waiting}
    gateway.push(5, final=False)  # into the same bucket, and no chain knows it
    assert (again.sweep().removed, again.sweep().held) == (0, 1)
    report = again.audit()
    assert {finding.code for finding in report.findings} == {"written-after-backup"}
    assert len(report.findings) == 3
    assert report.could_not_check == ()
    cli("--home", again.home, "backup", "accept-loss", "--yes")
    assert (again.sweep().removed, again.sweep().held) == (1, 0)
    report = again.audit()
    assert (report.findings, report.could_not_check) == ((), ())


def test_numbers_that_were_given_out_are_never_given_again(gateway):
    again = restored(gateway, "--known-height", gateway.told["height"])
    before, after = (open_services(load_settings(home, {})) for home in (gateway.home, again.home))
    with before.index.atomic() as old, after.index.atomic() as new:
        for name in ("resource", "commit"):
            assert take(new, name, 1).start >= take(old, name, 1 << 30).stop
        rows = range(1, 4)
        numbers = {row: archive.next_number for row, archive in archives.by_rows(old, rows).items()}
        assert numbers
        for row, archive in archives.by_rows(new, rows).items():
            assert archive.next_number >= numbers[row] + (1 << 30)
    twice = Home(again.home)
    cli("--home", again.home, "backup", "create", "--out", again.home.parent / "again.tar")
    twice.file = again.home.parent / "again.tar"
    twice.push(5)
    third = Home(again.home.parent / "third")
    cli("--home", third.home, "backup", "restore", twice.file, "--ledger", again.home / "ledger.db")
    assert third.push(6)
    cli("--home", third.home, "backup", "accept-loss", "--yes")
    assert third.audit().findings == ()
    before.index.close()
    after.index.close()


def test_a_row_that_excuses_what_is_missing_must_be_the_gateways_own(gateway):
    again = restored(gateway, "--known-height", gateway.told["height"])
    with closing(sqlite3.connect(again.home / "gateway.db")) as database:
        database.execute("UPDATE restore SET last_lost = last_lost + 1")
        database.commit()
    services = open_services(load_settings(again.home, {}))
    with services.index.reading() as connection, pytest.raises(RowAltered):
        restores.losses(connection)
    services.index.close()
    assert again.audit("content").exit_code == 2


def test_keys_kept_apart_are_asked_for(gateway):
    apart = gateway.home.parent / "apart.tar"
    cli("--home", gateway.home, "backup", "create", "--out", apart, "--without-keys")
    assert b"fhir-anchor kek" not in apart.read_bytes()
    gateway.file = apart
    height = gateway.told["height"]
    assert "--keys" in restored(gateway, "--known-height", height, expect=1)
    assert not json.loads(cli("backup", "verify", apart, "--json").stdout)["keyring_checked"]
    again = restored(gateway, "--known-height", height, "--keys", gateway.home / "keys")
    assert again.push(2)
    assert again.audit().findings == ()


def test_an_encrypted_backup_opens_for_whom_it_is_meant_and_is_else_silent(gateway):
    folder, height = gateway.home.parent, gateway.told["height"]
    key, other, words = (folder / name for name in ("backup.key", "other.key", "passphrase"))
    public = cli("backup", "new-key", "--out", key).stdout.strip()
    (folder / "backup.pub").write_text(f"# of the vault\n{public}\n")
    cli("backup", "new-key", "--out", other)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    gateway.file = folder / "backup.tar.age"
    made = json.loads(
        cli("--home", gateway.home, "backup", "create", "--out", gateway.file, "--recipient", folder / "backup.pub", "--json").stdout
    )
    assert made["encrypted"]
    body = gateway.file.read_bytes()
    assert body.startswith(b"age-encryption.org/v1\n")
    assert not any(word in body for word in (b"SQLite", b"genesis", b"keys/", b"manifest", made["chain_id"].encode()))
    verified = json.loads(cli("backup", "verify", gateway.file, "--identity", key, "--json").stdout)
    assert (verified["keyring_checked"], verified["height"]) == (True, height)
    words.write_text("not this\n")
    for opening, said in (
        ((), "--identity"),
        (("--identity", other), "does not open it"),
        (("--passphrase-file", words), "does not open it"),
    ):
        assert said in cli("backup", "verify", gateway.file, *opening, expect=2).output
        assert said in restored(gateway, "--known-height", height, *opening, expect=2)
    assert restored(gateway, "--known-height", height, "--identity", other, "--identity", key).push(2)
    for changed, said in ((body[:-1], "its end is missing"), (body[: 1 << 16], "its end is missing"), (body + b"x", "altered")):
        gateway.file.write_bytes(changed)
        assert said in cli("backup", "verify", gateway.file, "--identity", key, expect=2).output
        assert said in restored(gateway, "--known-height", height, "--identity", key, name="again", expect=2)
    altered = bytearray(body)
    altered[len(body) // 2] ^= 1
    gateway.file.write_bytes(altered)
    assert "altered" in restored(gateway, "--known-height", height, "--identity", key, name="again", expect=2)
    assert not list(folder.glob(".*")), "nothing in clear is left behind"


def test_a_bucket_that_is_gone_is_no_empty_bucket(gateway):
    (gateway.home / "bucket").rename(gateway.home.parent / "elsewhere")
    restored(gateway, "--known-height", gateway.told["height"], expect=2)
    again = restored(gateway, "--known-height", gateway.told["height"], "--bucket", (gateway.home.parent / "elsewhere").as_uri())
    assert again.told["missing"] == []
    assert again.audit().findings == ()


def test_who_was_erased_after_the_backup_stays_erased(gateway):
    services = open_services(load_settings(gateway.home, {}))
    erasure.erase(services, PERSONS, "DEMO-1")
    with services.index.reading() as connection:
        kept = next(one.keys for one in archives.by_rows(connection, range(1, 9)).values() if not one.keys.is_erased)
    services.store.put_if_absent(mark_name(kept.key_id), mark_body(bytes(32), kept.key_id))  # a stranger's
    services.index.close()
    again = restored(gateway, "--known-height", gateway.told["height"])
    assert again.told["erased_again"] == 1
    after = open_services(load_settings(again.home, {}))
    with after.index.reading() as connection:
        assert [archive.keys.is_erased for archive in archives.by_rows(connection, range(1, 9)).values()].count(True) == 1
        assert containers.next_rows(connection)[0] > 1
    after.index.close()
    assert again.push(1), "the same person comes back as a new one"
    report = again.audit()
    assert [(finding.code, finding.subject) for finding in report.findings] == [("erasure-unfinished", mark_name(kept.key_id))]
    assert report.could_not_check == ()
    assert report.checked["bundles not checkable by design"] == 1
