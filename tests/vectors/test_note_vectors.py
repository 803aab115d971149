"""Signed notes, checkpoints and cosignatures: the specifications' own examples, and keys of other implementations' tests.

The examples are by the authors of C2SP, who offer their specifications under CC BY 4.0.
"""

import base64

import pytest

from chain.checkpoint import Checkpoint
from chain.keys import SigningKey
from chain.note import COSIGNATURE, ED25519, Note, NoteInvalid, VerifierKey, cosigned, note_of, to_base64, verify_note

# c2sp.org/signed-note
FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
""".encode()
# c2sp.org/tlog-checkpoint and c2sp.org/tlog-cosignature
SOFA = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
""".encode()
# golang.org/x/mod/sumdb/note (BSD 3-Clause, the Go Authors): key, seed and signature of its test
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_SEED = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
NEUMANN_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NEUMANN_LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
# github.com/transparency-dev/formats/note (Apache-2.0): a cosigner's key of its test
COSIGNER = "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6"


def test_the_example_of_a_note():
    foo = VerifierKey.from_text(FOO)
    assert (foo.name, foo.type, foo.key_id.hex(), foo.to_text()) == ("example.com/foo", ED25519, "530d903a", FOO)
    note = Note.from_bytes(FOO_NOTE)
    assert (note.text, note.to_bytes()) == ("This is an example message.\n", FOO_NOTE)
    assert verify_note(note, [foo]) == [(foo, None)]


def test_a_text_may_have_empty_lines():
    text = "Above the line;\n\nbelow it, in UTF-8: è.\n"
    note = Note.from_bytes(FOO_NOTE.replace(b"This is an example message.\n", text.encode()))
    assert note.text == text
    assert [signature.name for signature in note.signatures] == ["example.com/foo"]
    assert Note.from_bytes(note.to_bytes()) == note


def test_the_example_of_a_cosigned_checkpoint():
    note = Note.from_bytes(SOFA)
    checkpoint = Checkpoint.from_text(note.text)
    assert (checkpoint.origin, checkpoint.size, checkpoint.to_text()) == ("example.com/behind-the-sofa", 20852163, note.text)
    witness = note.signatures[1]
    assert (witness.key_id.hex(), len(witness.signature)) == ("8d66cf3f", 72)
    signed_at = int.from_bytes(witness.signature[:8], "big")
    assert cosigned(note.text.encode(), signed_at).decode() == (
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )


def test_we_sign_as_others_do():
    key, verifier = SigningKey.from_seed(base64.b64decode(NEUMANN_SEED)[1:]), VerifierKey.from_text(NEUMANN)
    assert (key.public, verifier.to_text()) == (verifier.public, NEUMANN)
    assert verifier.line(key.sign_note(NEUMANN_TEXT.encode())).to_line() == NEUMANN_LINE
    assert VerifierKey.from_text(COSIGNER).key_id.hex() == "7997405c"


BAD_NOTES = {
    "no blank line": FOO_NOTE.replace(b"\n\n", b"\n"),
    "no signature": FOO_NOTE.partition(b"\n\n")[0] + b"\n\n",
    "no newline at the end": FOO_NOTE[:-1],
    "a line after the signatures": FOO_NOTE + b"more\n",
    "an empty line after the signatures": FOO_NOTE + b"\n",
    "a carriage return": FOO_NOTE.replace(b"message.\n", b"message.\r\n"),
    "a zero byte": FOO_NOTE.replace(b"message", b"mess\x00ge"),
    "not UTF-8": b"\xff" + FOO_NOTE,
    "a hyphen for the dash": FOO_NOTE.replace("— ".encode(), b"- "),
    "two spaces": FOO_NOTE.replace(b"/foo ", b"/foo  "),
    "a plus in the name": FOO_NOTE.replace(b"/foo ", b"/f+o "),
    "base64 without its end": FOO_NOTE.replace(b"=\n", b"\n"),
    "another spelling of base64": FOO_NOTE.replace(b"aQM=", b"aQN="),
    "a key id alone": FOO_NOTE.partition(b"foo U")[0] + b"foo " + to_base64(b"abcd").encode() + b"\n",
    "nothing": b"",
    "too many signatures": note_of("x\n", Note.from_bytes(FOO_NOTE).signatures * 257),
}


@pytest.mark.parametrize("note", BAD_NOTES.values(), ids=BAD_NOTES)
def test_what_is_no_note(note):
    with pytest.raises(NoteInvalid):
        Note.from_bytes(note)


BAD_KEYS = {
    "another id": FOO.replace("530d903a", "530d903b"),
    "an id in capitals": FOO.replace("530d903a", "530D903A"),
    "another name": FOO.replace("/foo", "/fo"),
    "a space": FOO.replace("/foo", "/f o"),
    "a type that is not verified here": VerifierKey("example.com/foo", 6, VerifierKey.from_text(FOO).public).to_text(),
    "a key that is too short": VerifierKey("example.com/foo", ED25519, bytes(31)).to_text(),
    "a key of small order": VerifierKey("example.com/foo", ED25519, b"\x01" + bytes(31)).to_text(),
    "a line": FOO + "\n",
}


@pytest.mark.parametrize("vkey", BAD_KEYS.values(), ids=BAD_KEYS)
def test_what_is_no_verifier_key(vkey):
    with pytest.raises(NoteInvalid):
        VerifierKey.from_text(vkey)


def test_signatures_of_known_keys_must_hold_and_others_are_passed_over():
    foo, neumann = VerifierKey.from_text(FOO), VerifierKey.from_text(NEUMANN)
    note = Note.from_bytes(FOO_NOTE)
    assert verify_note(note, [neumann]) == []
    namesake = VerifierKey("example.com/foo", COSIGNATURE, foo.public)
    assert verify_note(note, [namesake]) == [], "a key has another id for another type of signature"
    [line] = note.signatures
    with pytest.raises(NoteInvalid):
        verify_note(Note(note.text.replace("example", "exanple"), note.signatures), [foo])
    with pytest.raises(NoteInvalid):
        verify_note(Note(note.text, (line, foo.line(bytes(64)))), [foo])


@pytest.mark.parametrize(
    "text",
    ["a 1", "a 01 ROOT", "a +1 ROOT", "a 1 ROOT extension", " 1 ROOT", "a 9223372036854775808 ROOT", "a 1 AAAA", "a -1 ROOT", "a 1 ROOT "],
)
def test_what_is_no_checkpoint_of_this_kind_of_log(text):
    root = to_base64(bytes(32))
    assert Checkpoint.from_text(f"a\n0\n{root}\n") == Checkpoint("a", 0, bytes(32))
    with pytest.raises(NoteInvalid):
        Checkpoint.from_text(f"a\n0\n{root}")
    with pytest.raises(NoteInvalid):
        Checkpoint.from_text(text.replace(" ", "\n").replace("ROOT", root) + "\n")
