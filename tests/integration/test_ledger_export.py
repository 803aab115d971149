"""An exported chain: read back it is the same chain, and whatever is altered in it is named by its height."""

import io

import pytest
from chain_case import DELEGATES, ELECTED, HOLDERS, NEW, STAKES, SmallChain, anchor, genesis_bytes, party, registration, vote

from chain.block import FormatUnknown
from chain.chain_file import ChainFile, write_chain
from chain.encoding import decode, encode
from chain.format import Switch
from chain.ledger import Ledger
from chain.record_file import FileInvalid, read_records, write_record
from chain.store import LedgerStore
from chain.verify import verify_chain


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A chain that elects, and that goes on to version 2 on its way: ten blocks, with its file."""
    chain = SmallChain(tmp_path_factory.mktemp("exported"), genesis=ELECTED, switch=Switch(1, 1))
    chain.add_delegate(NEW[0])
    chain.submit(registration(NEW[0]), signer=HOLDERS[0])
    chain.reopen()
    for number in range(10):
        for holder in HOLDERS if number == 1 else ():
            chain.submit(vote(*DELEGATES[:3], NEW[0]), signer=holder)
        if number == 5:
            chain.switch = Switch(2, 7)
            chain.reopen()
        chain.record(anchor(number), party(client_id=f"hospital-{number:08x}", attestation=f"attest {number}"))
    file = io.BytesIO()
    assert write_chain(chain.ledger(), genesis_bytes(seats=7, stakes=STAKES), file, lambda _done, _total: None) == 10
    assert {chain.ledger().block(height).header.version for height in (6, 7)} == {1, 2}
    head = chain.ledger().head()
    chain.close()
    return head, file.getvalue()


def imported(file, tmp_path):
    chain = ChainFile(io.BytesIO(file))
    store = LedgerStore.create(f"sqlite:///{tmp_path}/copy.db", chain.genesis)
    try:
        chain.into(store, lambda _done, _total: None)
        return list(verify_chain(store, chain.genesis))
    finally:
        store.close()


def exported_hash(store):
    return Ledger(store, ELECTED).head().hash()


def test_what_was_exported_is_the_same_chain(exported, tmp_path):
    head, file = exported
    assert imported(file, tmp_path) == []
    store = LedgerStore.open(f"sqlite:///{tmp_path}/copy.db", ELECTED)
    assert exported_hash(store) == head.hash()
    again = io.BytesIO()
    write_chain(Ledger(store, ELECTED), ChainFile(io.BytesIO(file)).genesis_bytes, again, lambda _done, _total: None)
    assert again.getvalue() == file
    store.close()


def transaction_altered(records):
    records[4][2][0] = records[5][2][0]


def transaction_missing(records):
    del records[4][2][0]


def header_altered(records):
    records[4][0] = encode({**decode(records[4][0]), 8: b"\x01" + bytes(32)})


def header_of_an_earlier_version(records):
    records[8][0] = encode({**decode(records[8][0]), 0: 1})


def producer_signature_altered(records):
    records[4][1] = bytes(64)


def too_few_votes(records):
    records[4][3] = records[4][3][:2]


def vote_twice(records):
    records[4][3][1] = records[4][3][0]


def block_missing(records):
    del records[4]


def block_twice(records):
    records.insert(4, records[4])


def cut_short(records):
    del records[-1]


def one_block_more(records):
    records.append(records[-1])


def no_block(records):
    records[4] = [b"", b"", []]


def no_votes(records):
    records[4][3] = [1]


def no_transactions(records):
    records[4][2] = [None]


FORGERIES = {
    transaction_altered: 4,
    transaction_missing: 4,
    header_altered: 4,
    header_of_an_earlier_version: 8,
    producer_signature_altered: 4,
    too_few_votes: 4,
    vote_twice: 4,
    block_missing: 4,
    block_twice: 5,
    cut_short: 10,
    one_block_more: 11,
    no_block: 4,
    no_votes: 4,
    no_transactions: 4,
}


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_the_first_height_that_does_not_hold_is_named(exported, tmp_path, forge):
    with pytest.raises(FileInvalid, match=f"^height {FORGERIES[forge]}: "):
        imported(altered(exported, forge), tmp_path)


def test_a_later_version_and_what_is_no_chain_are_told_apart(exported, tmp_path):
    def of_a_later_version(records):
        records[8][0] = encode({**decode(records[8][0]), 0: 9})

    with pytest.raises(FormatUnknown, match="from height 8 on the chain has version 9"):
        imported(altered(exported, of_a_later_version), tmp_path)
    for file in (b"", exported[1][:20], encode(encode(["fhir-anchor snapshot 1", bytes(32), 1]))):
        with pytest.raises(FileInvalid):
            ChainFile(io.BytesIO(file))


def altered(exported, forge):
    records = list(read_records(io.BytesIO(exported[1])))
    forge(records)
    file = io.BytesIO()
    for record in records:
        write_record(file, record)
    return file.getvalue()
