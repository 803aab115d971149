"""Files of age against the vectors of its community, and keys in their text form.

`age.tar.gz` has the files of `age/testdata` in github.com/C2SP/CCTV, as they are but for those in ASCII armor, which are left out. They are
by the age authors (2022), who offer them under 0BSD, CC0 1.0 or the Unlicense; here they are taken under CC0 1.0.
"""

import io
import os
import tarfile
import zlib
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.vault import age_file, age_keys
from gateway.vault.age_file import AgeFileUnopened, AgeReader, AgeWriter
from gateway.vault.age_keys import Passphrase, new_identity, parse_identity, parse_recipient

VECTORS = Path(__file__).with_name("age.tar.gz")
# BIP 173's letters as C2SP's age gives them in its section on hybrid recipients
SPEC_IDENTITY = "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR"
SPEC_RECIPIENT = "age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rdelkjuh3y235jzxshfg87pzf5zrqtzdxz95paef6caq5aapdmwjjqpjfdyxnzr2zamp"


class Known:
    """Stands for keys of kinds that are not read here: it has the file's key from the vector."""

    def __init__(self, file_key):
        self.file_key = file_key

    def unwrap(self, _stanzas):
        return self.file_key


def vectors():
    with tarfile.open(VECTORS) as tar:
        for member in tar:
            told, _, body = tar.extractfile(member).read().partition(b"\n\n")
            fields = [line.split(": ", 1) for line in told.decode().splitlines()]
            said = dict(fields)
            if said["expect"] == "success" or not member.name.startswith("x25519"):
                yield pytest.param(said, fields, zlib.decompress(body) if "compressed" in said else body, id=member.name)


def identities(fields, said):
    found = [parse_identity(value) for name, value in fields if name == "identity" and value.startswith("AGE-SECRET-KEY-PQ-1")]
    found += [Passphrase(value) for name, value in fields if name == "passphrase"]
    return found or [Known(bytes.fromhex(said.get("file key", "00" * 16)))]


@pytest.mark.parametrize(("said", "fields", "body"), list(vectors()))
def test_a_vector(said, fields, body):
    opened = io.BytesIO()
    try:
        reader = AgeReader(io.BytesIO(body), identities(fields, said))
        while part := reader.read(10_000):
            opened.write(part)
    except AgeFileUnopened:
        assert said["expect"] != "success"
    else:
        assert said["expect"] == "success"
        assert sha256(opened.getvalue()).hexdigest() == said["payload"]


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 200_000])
def test_what_is_written_opens(size):
    one, other, body, file = new_identity(os.urandom), new_identity(os.urandom), os.urandom(size), io.BytesIO()
    recipients = [parse_recipient(age_keys.recipient_text(identity)) for identity in (one, other)]
    writer = AgeWriter(file, recipients, os.urandom)
    for at in range(0, size, 10_000):
        writer.write(body[at : at + 10_000])
    writer.finish()
    for identity in (one, other):
        assert AgeReader(io.BytesIO(file.getvalue()), [new_identity(os.urandom), identity]).read() == body
    for wrong in ([new_identity(os.urandom)], [Passphrase("x", 2)], []):
        with pytest.raises(AgeFileUnopened, match="does not open it"):
            AgeReader(io.BytesIO(file.getvalue()), wrong)


def test_a_passphrase_opens_what_it_closed():
    file = io.BytesIO()
    writer = AgeWriter(file, [Passphrase("correct horse", 4)], os.urandom)
    writer.write(b"body")
    writer.finish()
    assert AgeReader(io.BytesIO(file.getvalue()), [Passphrase("correct horse")]).read() == b"body"
    with pytest.raises(AgeFileUnopened):
        AgeReader(io.BytesIO(file.getvalue()), [Passphrase("correct hors")])


def test_keys_are_written_as_the_specification_writes_them():
    identity = parse_identity(SPEC_IDENTITY)
    assert age_keys.identity_text(identity) == SPEC_IDENTITY
    text = age_keys.recipient_text(identity)
    assert text.startswith(SPEC_RECIPIENT)
    assert len(text) == 1959
    assert parse_recipient(text).key == identity.key.public
    for wrong in (text[:-1], text.replace("q", "p", 1), "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj", ""):
        with pytest.raises(ValueError, match=r"key is|recipient is"):
            parse_recipient(wrong)
    with pytest.raises(ValueError, match="checksum"):
        parse_identity(SPEC_IDENTITY[:-1] + "Q")


def test_a_header_has_bounds():
    line = b"-> grease\n" + b"A" * 64 + b"\n"
    for endless in (b"-> " + b"x" * 100_000, line + (b"A" * 64 + b"\n") * 10_000, (line + b"\n") * 10_000):
        with pytest.raises(AgeFileUnopened):
            AgeReader(io.BytesIO(age_file.VERSION + endless), [])
