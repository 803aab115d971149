"""`fhir-anchor ledger delegates | schedule | stake`: who produces blocks and votes on them, and who could."""

from collections.abc import Iterator
from typing import Any

import click

from chain.entries import EntryKind
from chain.genesis import MIN_ELECTED
from chain.ledger import Ledger
from chain.stake_entries import StakeEntry
from gateway.commands.asking import Asking, asking
from gateway.commands.context import FINDINGS, instant, iso, json_option, leave, opened_chain, tell
from gateway.commands.proven_state import ProvenState, is_afar, of_one_block, proven_by
from gateway.commands.sending import public_key

WARNING = "fewer than four delegates can be elected: the set stays as it is"


@click.command(epilog="Example: fhir-anchor --home ./gw ledger delegates")
@json_option
@click.pass_context
def delegates(context: click.Context, as_json: bool) -> None:
    """Who acts, who follows in the next epoch, and who stands for election; of who does not act, why. Exit code 1 if fewer than four could
    be elected.
    """
    with opened_chain(context) as reader:
        genesis = reader.genesis
        warning = WARNING if genesis.seats and len(reader.delegates.electable()) < MIN_ELECTED else None
        rows = _rows(reader)
    told = {"elected": bool(genesis.seats), "seats": genesis.seats or len(genesis.delegates), "delegates": rows, "warning": warning}
    tell(told, as_json=as_json, text=lambda: "\n".join([*_table(rows), *([f"warning: {warning}"] if warning else [])]))
    if warning:
        leave(FINDINGS)


def _rows(reader: Ledger) -> list[dict[str, Any]]:
    """Those who stand, the most approved first, then those who act all the same."""
    found, attendance = reader.delegates, reader.delegates.attendance()
    acting, following = found.acting().keys, found.following().keys
    names = {delegate.key: delegate.name for delegate in reader.genesis.delegates}
    standing = dict(found.standing())
    rows = []
    for key in [*standing, *sorted({*acting, *following} - set(standing))]:
        entry = standing.get(key) or found.delegate(key)
        voted, could = attendance.get(key, (0, 0))
        rows.append(
            {
                "name": entry.name if entry else names[key],
                "key": key.hex(),
                "approval": entry.approval if entry else None,
                "acting": key in acting,
                "following": key in following,
                "jailed": bool(entry and entry.jailed),
                "gone": entry is not None and key not in standing,
                "voted": voted,
                "could_vote": could,
                "why_not_acting": found.why_not_acting(key),
            }
        )
    return rows


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{'name':<24}{'approval':>9}  {'votes':>7}  {'state':<24}key"
    for row in rows:
        state = ", ".join(name for name in ("acting", "following", "jailed", "gone") if row[name]) or "-"
        approval = "-" if row["approval"] is None else row["approval"]
        yield f"{row['name'][:23]:<24}{approval:>9}  {row['voted']:>3}/{row['could_vote']:<3}  {state:<24}{row['key']}"
        if row["why_not_acting"]:
            yield f"  does not vote: {row['why_not_acting']}"


@click.command(epilog="Example: fhir-anchor --home ./gw ledger schedule --slots 8")
@click.option("--slots", default=8, show_default=True, type=click.IntRange(1, 1000), help="How many slots, the next block's first.")
@json_option
@click.pass_context
def schedule(context: click.Context, slots: int, as_json: bool) -> None:
    """Whose turn the slots after the last block are; another epoch, if one begins meanwhile, draws its own order."""
    with opened_chain(context) as reader:
        genesis, head = reader.genesis, reader.head()
        first = head.slot + 1 if head else 0
        turns = reader.delegates.schedule(range(first, first + slots))
        names = {delegate.key: delegate.name for delegate in genesis.delegates}
        names |= {key: entry.name for key, entry in reader.delegates.standing()}
    height, length = head.height if head else 0, genesis.epoch_blocks
    turn_of = [(slot, genesis.slot_time(slot), names.get(key, key.hex()), key.hex()) for slot, key in enumerate(turns, first)]
    rows = [{"slot": slot, "at": iso(at), "name": name, "key": key} for slot, at, name, key in turn_of]
    told = {"height": height, "epoch": height // length + 1, "blocks_left_in_epoch": length - height % length, "slots": rows}
    title = f"height {height}, epoch {told['epoch']}, {told['blocks_left_in_epoch']} blocks to its end"
    lines = [f"{slot:>10}  {instant(at)}  {name}" for slot, at, name, _ in turn_of]
    tell(told, as_json=as_json, text=lambda: "\n".join([title, *lines]))


@click.command(
    epilog="Examples: fhir-anchor --home ./gw ledger stake ./gw/keys/stake.json   "
    "fhir-anchor ledger stake nordvik.json --url https://fhir.example.org --genesis genesis.json"
)
@click.argument("holder", metavar="KEY.json|HEX")
@asking
def stake(way: Asking, holder: str) -> None:
    """What a key holds, and whom it approves of. Exit code 1 if it holds nothing.

    With --url a gateway elsewhere is asked, and what it says is checked against the genesis or a pin: 1 if its proof does not hold, too.
    """
    key, at = public_key(holder), None
    if is_afar(way):
        (found, total), at = of_one_block(way, lambda state: _proven_stake(state, key))
    else:
        with opened_chain(way.context) as reader:
            found, total = reader.delegates.stake(key), reader.genesis.total_stake
    votes = [one.hex() for one in found.votes] if found else []
    weight, sponsored = (found.weight, found.sponsored) if found else (0, 0)
    told = {"key": key.hex(), "weight": weight, "of": total, "votes": votes, "sponsored": sponsored}
    told["proven_at"] = None if at is None else {"height": at["height"], "hash": at["block"]}
    lines = [f"weight {weight} of {total}", *(f"  approves of {vote}" for vote in votes)]
    lines += [] if at is None else [f"  {proven_by(at, way.genesis_path)}"]
    tell(told, as_json=way.as_json, text=lambda: "\n".join(lines))
    if not weight:
        leave(FINDINGS)


def _proven_stake(state: ProvenState, key: bytes) -> tuple[StakeEntry | None, int]:
    value = state.entry(EntryKind.STAKE, key.hex())
    return None if value is None else StakeEntry.from_value(value), state.genesis.total_stake
