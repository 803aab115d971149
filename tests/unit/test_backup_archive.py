"""A backup's file: what is not exactly as its manifest says is refused, and nothing of it lands outside the folder."""

import io
import stat
import tarfile
from hashlib import sha256

import pytest

from gateway.backup.archive import ArchiveWriter, new_file, take_out
from gateway.backup.manifest import NAME, BackupDamaged, BackupRefused, Manifest, parse_manifest

FILES = {"genesis.json": b"{}", "settings.json": b"{}", "gateway.db": b"d" * 5000, "ledger.db": b"l" * 9000, "keys/kek.json": b"k"}


def quiet(_what, _reached, _total):
    """No progress is shown."""


def manifest(parts, **changed):
    said = {"format": "fhir-anchor backup 1", "software": "0", "made_at": 1, "chain_id": "00", "height": 0, "head": "00", "log_size": 0}
    said |= {"counts": {}, "bucket_url": "file:///b", "missing_objects": 0, "with_keys": True, "parts": tuple(parts)}
    return Manifest(**(said | changed))


def made(folder, **changed):
    path = folder / "backup.tar"
    with new_file(path) as file:
        writer = ArchiveWriter(file, 1)
        for name, body in FILES.items():
            (folder / "part").write_bytes(body)
            writer.add(name, folder / "part")
        writer.finish(manifest(writer.parts, **changed))
    return path


def members(path):
    with tarfile.open(path) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]


def rewritten(path, found):
    with tarfile.open(path, "w") as tar:
        for name, body in found:
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))


def taken_out(path, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return take_out(path, folder, (), quiet), folder


def test_what_was_put_in_comes_out(tmp_path):
    path = made(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found, folder = taken_out(path, tmp_path)
    assert {part.name: part.sha256 for part in found.parts} == {name: sha256(body).hexdigest() for name, body in FILES.items()}
    for name, body in FILES.items():
        assert (folder / name).read_bytes() == body
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert not list(tmp_path.glob(".backup*"))


def test_a_backup_is_never_written_over_and_a_failed_one_leaves_nothing(tmp_path):
    path = made(tmp_path)
    body = path.read_bytes()
    with pytest.raises(BackupRefused, match="never written over"):
        made(tmp_path)
    assert path.read_bytes() == body
    other = tmp_path / "other.tar"
    with pytest.raises(OSError, match="full"), new_file(other):
        raise OSError("the disk is full")
    assert not other.exists()
    assert not list(tmp_path.glob(".*.new"))


@pytest.mark.parametrize("inside", [b"dddd", b"llll", b'"made_at"', b'"sha256"'])
def test_a_changed_byte_is_found(tmp_path, inside):
    path = made(tmp_path)
    body = bytearray(path.read_bytes())
    body[body.index(inside) + 3] ^= 1
    path.write_bytes(body)
    with pytest.raises(BackupDamaged):
        taken_out(path, tmp_path)


@pytest.mark.parametrize("keep", [0, 511, 4096, -2048 * 6])
def test_a_cut_file_is_found(tmp_path, keep):
    path = made(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BackupDamaged):
        taken_out(path, tmp_path)


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "keys/../../evil", "keys/.hidden", "more.txt", "gateway.db"])
def test_what_a_backup_does_not_have_is_refused(tmp_path, name):
    path = made(tmp_path)
    found = members(path)
    rewritten(path, [*found[:-1], (name, b"x"), found[-1]])
    with pytest.raises(BackupDamaged):
        taken_out(path, tmp_path)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("left_out", [*FILES, NAME])
def test_a_missing_part_is_found(tmp_path, left_out):
    path = made(tmp_path)
    rewritten(path, [(name, body) for name, body in members(path) if name != left_out])
    with pytest.raises(BackupDamaged):
        taken_out(path, tmp_path)


def test_a_link_is_refused(tmp_path):
    path = made(tmp_path)
    found = members(path)
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("keys/link.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for name, body in found:
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    with pytest.raises(BackupDamaged):
        taken_out(path, tmp_path)


def test_a_hole_is_refused_before_it_is_written_out(tmp_path):
    """Some bytes that say to be a file of a gigabyte, all zeros."""
    path = tmp_path / "backup.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        member, body = tarfile.TarInfo("gateway.db"), b"0\n".ljust(512, b"\0")
        member.size = len(body)
        said = {"major": "1", "minor": "0", "name": "gateway.db", "realsize": str(1 << 30)}
        member.pax_headers = {f"GNU.sparse.{name}": value for name, value in said.items()}
        tar.addfile(member, io.BytesIO(body))
    with pytest.raises(BackupDamaged, match="does not have"):
        taken_out(path, tmp_path)
    assert not (tmp_path / "out/gateway.db").exists()


def test_a_header_as_long_as_the_file_is_not_read_into_memory(tmp_path):
    """Of a hole in the file, so that it costs its sender nothing."""
    path = tmp_path / "backup.tar"
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 36
    with path.open("wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.truncate(1 << 36)
    with pytest.raises(BackupDamaged):
        taken_out(path, tmp_path)


def test_an_impossible_size_is_damage(tmp_path):
    path = made(tmp_path)
    body = bytearray(path.read_bytes())
    body[124:136] = b"\x80" + b"\x7f" * 11  # of the first member, in base 256
    body[156:157] = tarfile.XHDTYPE  # which is read whole
    body[148:156] = b"%06o\0 " % (sum(body[:148]) + sum(body[156:512]) + 8 * ord(" "))
    path.write_bytes(body)
    with pytest.raises(BackupDamaged):
        taken_out(path, tmp_path)


def test_a_manifest_that_contradicts_itself_is_refused(tmp_path):
    with pytest.raises(BackupDamaged, match="contradicts"):
        taken_out(made(tmp_path, with_keys=False), tmp_path)
    with pytest.raises(BackupDamaged, match="cannot be read"):
        parse_manifest(b'{"format": "fhir-anchor backup 2"}')
