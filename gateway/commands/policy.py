"""`fhir-anchor ledger policy`: whose signatures below a checkpoint count (docs/design/checkpoint.md)."""

import click

from gateway.commands.asking import Asking, asking
from gateway.commands.context import FINDINGS, leave, opened_chain, tell
from gateway.commands.proven_state import checkpoint_keys, is_afar, of_one_block, proven_by


@click.command(
    epilog="Examples: fhir-anchor --home ./gw ledger policy   "
    "fhir-anchor ledger policy --url https://fhir.example.org --genesis genesis.json --pin pin.json"
)
@asking
def policy(way: Asking) -> None:
    """Which keys sign the log's checkpoints, as a policy for the tools of transparency logs (C2SP tlog-policy).

    A checkpoint then needs the log's signature and the cosignatures of two thirds of the delegates that cosign and one. The keys are those
    that the chain's state has now: at home as it is stored, with --url as the gateway there proves it against the genesis or a pin, and
    nothing of its word is taken. Exit codes: 0 told, 1 a proof does not hold or the log has no key, 2 it could not be had or checked.
    """
    from gateway.checkpoints import verifiers
    from gateway.tlog_policy import policy_lines

    at = None
    if is_afar(way):
        (logs, cosigners), at = of_one_block(way, checkpoint_keys)
    else:
        with opened_chain(way.context) as reader:
            logs, cosigners = verifiers(reader)
    lines = [*([] if at is None else [f"# {proven_by(at, way.genesis_path)}"]), *policy_lines(logs, cosigners)]
    told = {
        "logs": [key.to_text() for key in logs],
        "cosigners": [{"name": name, "verifier_key": key.to_text()} for name, key in cosigners],
        "policy": "".join(f"{line}\n" for line in lines),
        "proven_at": None if at is None else {"height": at["height"], "hash": at["block"]},
    }
    tell(told, as_json=way.as_json, text=lambda: str(told["policy"]).rstrip("\n"))
    if not logs:
        leave(FINDINGS)
