"""What `ledger ...` and `receipt ...` end with where something given to them is bad, by one rule.

What is judged (a receipt, a proof, an exported chain) and is damaged, something else, or another chain's: 1, it was looked at and is refused.
What is needed to judge or to act (a gateway, a home, a key, the genesis, a pin, a policy, credentials, a folder) and is missing or
none: 2, it could not be done. So is a file to judge that is not there. No command ends with a traceback, or says nothing.
"""

import pytest
from click.testing import CliRunner
from ledger_home import LedgerHome
from test_command_help import LEAVES

from gateway import founding
from gateway.cli import main
from gateway.key_files import write_key

NOWHERE = "http://127.0.0.1:9"  # nothing listens there
BAD = ("gone", "json", "garbage")  # names of files below, as are `empty`, `chain`, `proof`...
HEX = "00" * 32
SIGNING = (
    ("vote", "--key", "KEY"),
    ("transfer", "--key", "KEY", HEX, "5"),
    ("delegate", "register", "--key", "KEY", "--delegate-key", "own-key", "Nordvik"),
    ("delegate", "resign", "--key", "KEY"),
    ("delegate", "unjail", "--key", "KEY"),
    ("delegate", "cosign", "--key", "KEY"),
)
ASKING = (
    ("policy",),
    ("stake", HEX),
    ("prove", "finality"),
    ("prove", "inclusion", "--index", "0"),
    ("prove", "consistency", "1", "1"),
    ("prove", "state", "roll"),
    ("pin", "--out", "new"),
)
AT_HOME = (
    ("status",),
    ("verify",),
    ("delegates",),
    ("schedule",),
    ("snapshot", "--out", "new"),
    ("export", "--out", "new"),
    ("archive", "--keep-epochs", "2"),
    ("switch", "--to", "2", "--from", "9"),
    ("evidence", "--key", "own-key", "accusation"),
    *ASKING,
    *SIGNING,
)


def ledger_cases():
    for command in AT_HOME:
        yield 2, "there is no gateway at", ("--home", "gone", "ledger", *["own-key" if word == "KEY" else word for word in command])
    for bad in BAD:
        for command in (*SIGNING, ("stake", "KEY"), ("evidence", "--key", "KEY", "accusation")):
            yield 2, "usable key file", ("ledger", *[bad if word == "KEY" else word for word in command])
        yield 2, "no usable key file", ("ledger", "transfer", "--key", "own-key", bad, "5")
        yield 2, "", ("ledger", "evidence", "--key", "own-key", bad)
        for command in (*ASKING, *SIGNING):
            asked = ("ledger", *["own-key" if word == "KEY" else word for word in command], "--url", NOWHERE, "--genesis", bad)
            yield 2, "gone: No such file" if bad == "gone" else "the genesis file is none", asked
        for command in (("prove", "finality"), ("prove", "state", "roll"), ("pin", "--out", "new")):
            yield 2, "", ("ledger", *command, "--pin", bad)
            yield 2, "", ("ledger", *command, "--genesis", bad)
    for command in (*ASKING, *SIGNING):
        asked = ("ledger", *["own-key" if word == "KEY" else word for word in command])
        yield 2, "cannot be reached", (*asked, "--url", NOWHERE, "--genesis", "genesis")
        yield 2, "is no address of a gateway", (*asked, "--url", "nowhere", "--genesis", "genesis")
        yield 2, "--url needs --genesis", (*asked, "--url", NOWHERE)
    yield 1, "another chain", ("ledger", "prove", "finality", "--genesis", "other-genesis")
    yield 2, "the pin is of another chain", ("ledger", "prove", "finality", "--pin", "other-pin")
    yield 2, "no such final block", ("ledger", "prove", "finality", "99")
    yield 2, "is there already", ("ledger", "export", "--out", "json")
    yield 2, "is no folder", ("ledger", "export", "--out", "gone/new")
    yield 2, "is no folder", ("ledger", "snapshot", "--out", "gone/new")
    yield 2, "no delegate stands", ("ledger", "vote", "--key", "own-key", "nobody")
    yield 2, "there is no copy of a chain", ("ledger", "verify", "--copy", "gone")


def import_cases():
    yield 2, "does not exist", ("ledger", "import", "gone", "--to", "new")
    for judged in ("json", "garbage", "empty", "damaged", "cut", "proof"):
        yield 1, "does not hold", ("ledger", "import", judged, "--to", "new")
    yield 1, "another chain", ("ledger", "import", "chain", "--to", "new", "--genesis", "other-genesis")
    yield 2, "does not exist", ("ledger", "import", "chain", "--to", "new", "--genesis", "gone")
    yield 2, "the genesis file is none", ("ledger", "import", "chain", "--to", "new", "--genesis", "json")
    yield 2, "is not empty", ("ledger", "import", "chain", "--to", "full")


def receipt_cases():
    for how in ((), ("--independent",)):
        for judged in ("json", "garbage", "empty", "chain"):
            yield 1, "INVALID", ("receipt", "verify", judged, "--genesis", "genesis", *how)
        yield 1, "another chain", ("receipt", "verify", "proof", "--genesis", "other-genesis", *how)
        yield 2, "No such file", ("receipt", "verify", "gone", "--genesis", "genesis", *how)
        for bad in BAD:
            yield 2, "", ("receipt", "verify", "proof", "--genesis", bad, *how)
            yield 2, "", ("receipt", "verify", "proof", "--genesis", "genesis", "--pin", bad, *how)
        yield 2, "", ("receipt", "verify", "proof", "--genesis", "genesis", "--pin", "other-pin", *how)
    yield 2, "nothing to check", ("receipt", "verify", "full", "--genesis", "genesis")
    for judged in ("json", "garbage", "empty", "proof"):
        yield 1, "INVALID", ("receipt", "verify-tlog-proof", judged, "--genesis", "genesis")
        yield 1, "", ("receipt", "tlog-proof", judged, "--url", NOWHERE, "--genesis", "genesis", "--out", "new")
    yield 2, "No such file", ("receipt", "verify-tlog-proof", "gone", "--genesis", "genesis")
    yield 2, "No such file", ("receipt", "tlog-proof", "gone", "--url", NOWHERE, "--genesis", "genesis", "--out", "new")
    for bad in BAD:
        yield 2, "", ("receipt", "verify-tlog-proof", "proof", "--genesis", bad)
        yield 2, "", ("receipt", "verify-tlog-proof", "proof", "--genesis", "genesis", "--policy", bad)
        yield 2, "", ("receipt", "get", "--as", bad, "Observation/1", "--out", "new")
        yield 2, "", ("receipt", "access", "--as", bad, "1", "--out", "new")


CASES = [*ledger_cases(), *import_cases(), *receipt_cases()]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Each file that the cases name, by its name; one that is not there keeps its name in an empty folder."""
    folder = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(founding, "EPOCH_BLOCKS", 2)
        home, other = LedgerHome(folder), LedgerHome(folder / "other")
    home.produce(2)
    other.produce(1)
    for name, command in (("chain", "export"), ("proof", "prove finality")):
        home.run(*command.split(), "--out", folder / name)
    other.run("pin", "--out", folder / "other-pin")
    chain = (folder / "chain").read_bytes()
    middle = len(chain) // 2
    made = {
        "json": b'{"a": 1}',
        "garbage": b"\xff\x00garbage",
        "empty": b"",
        "damaged": chain[:middle] + bytes([chain[middle] ^ 1]) + chain[middle + 1 :],
        "cut": chain[:-1],
        "genesis": (home.path / "genesis.json").read_bytes(),
        "other-genesis": (other.path / "genesis.json").read_bytes(),
        "full/some": b"",
        "accusation": b'{"offence": "voted", "delegate": "00", "height": 1, "signed": [["00", "00"], ["01", "00"]]}',
    }
    (folder / "full").mkdir()
    for name, body in made.items():
        (folder / name).write_bytes(body)
        (folder / name).chmod(0o600)
    write_key(folder / "own-key", "stranger", bytes(range(32)))
    yield folder
    home.close()
    other.close()


def test_every_bad_input_has_the_exit_code_of_its_kind(files):
    named = {path.name for path in files.iterdir()} | {"gone", "new", "gone/new"}
    wrong = []
    for code, said, command in CASES:
        words = [str(files / word) if word in named else word for word in command]
        home = [] if command[0] == "--home" else ["--home", str(files / "gw")]
        done = CliRunner().invoke(main, [*home, *words])
        crash = done.exception if not isinstance(done.exception, SystemExit | None) else None
        output = "".join(line for line in done.output.splitlines(keepends=True) if "[info " not in line).strip()
        if crash or done.exit_code != code or said not in output or not output:
            wrong.append((" ".join(command), code, done.exit_code, output[-200:], crash))
    assert wrong == [], "\n".join(map(str, wrong))
    assert not (files / "new").exists(), "nothing is left of what could not be done"


def test_every_command_is_among_them():
    tried = {tuple(word for word in command if not word.startswith("-"))[:3] for _, _, command in CASES}
    tried |= {command[:2] for command in tried} | {command[1:] for command in tried}
    commands = {path for path in LEAVES if path[0] in ("ledger", "receipt")}
    assert {path for path in commands if path not in tried} == set()
