"""`fhir-anchor receipt tlog-proof | verify-tlog-proof`: for the tools of transparency logs.

See docs/design/checkpoint.md.
"""

import time
from pathlib import Path
from typing import Any

import click

from gateway.commands.context import (
    COULD_NOT,
    DONE,
    FINDINGS,
    CouldNot,
    json_option,
    leave,
    printable,
    read_file,
    tell,
)

genesis_option = click.option(
    "--genesis", required=True, metavar="GENESIS.json", type=click.Path(path_type=Path), help="The chain's genesis file."
)
policy_option = click.option(
    "--policy",
    metavar="POLICY",
    type=click.Path(path_type=Path),
    help="For tlog-proofs: whose signatures below the checkpoint are wanted (`ledger policy`) [the log's, by the genesis].",
)


@click.command(
    "tlog-proof",
    epilog="Example: fhir-anchor receipt tlog-proof r.json --url https://fhir.example.org --genesis genesis.json --out r.tlog-proof",
)
@click.argument("receipt_path", metavar="R.json", type=click.Path(path_type=Path))
@click.option("--url", required=True, help="Address of the gateway; it needs no account.")
@genesis_option
@policy_option
@click.option("--wait", is_flag=True, help="Wait until the checkpoint has come as far, and is cosigned as the policy wants.")
@click.option("--timeout", default=120, show_default=True, type=click.IntRange(1), metavar="SECONDS", help="How long to wait at most.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Where the proof goes, NAME.tlog-proof.")
@json_option
def tlog_proof(
    *, receipt_path: Path, url: str, genesis: Path, policy: Path | None, wait: bool, timeout: int, out: Path, as_json: bool
) -> None:
    """Export that a receipt's transaction is in the log, for the tools of transparency logs (C2SP tlog-proof).

    Exit code 1 if the gateway's checkpoint or the receipt does not hold, 2 if it cannot be had or checked.
    """
    from gateway.client.ledger import LedgerUnreachable
    from gateway.client.receipt import Patience
    from gateway.client.tlog import RemoteLog, export
    from gateway.errors import CouldNotCheck
    from gateway.receipt_json import NoReceipt
    from gateway.recorded import ReceiptInvalid

    try:
        proof = export(
            RemoteLog(url),
            read_file(receipt_path),
            read_file(genesis),
            policy_of(policy),
            Patience(timeout if wait else 0, time.monotonic, time.sleep),
        )
        out.write_bytes(proof)
    except (NoReceipt, ReceiptInvalid) as error:
        click.echo(f"fhir-anchor: {printable(str(error))}", err=True)
        leave(FINDINGS)
    except OSError as error:
        raise CouldNot(f"{out}: {error.strerror or 'cannot be written'}") from error
    except (LedgerUnreachable, CouldNotCheck) as error:
        raise CouldNot(str(error)) from error
    told = {"receipt": str(receipt_path), "proof": str(out)}
    tell(told, as_json=as_json, text=lambda: f"The proof for {receipt_path} is in {out}")


@click.command(
    "verify-tlog-proof",
    epilog="Example: fhir-anchor receipt verify-tlog-proof r.tlog-proof --genesis genesis.json --policy policy.txt",
)
@click.argument("proofs", nargs=-1, required=True, metavar="R.tlog-proof...", type=click.Path(path_type=Path))
@genesis_option
@policy_option
@json_option
def verify_tlog_proof(*, proofs: tuple[Path, ...], genesis: Path, policy: Path | None, as_json: bool) -> None:
    """Verify tlog-proofs without asking anyone: that a gateway's transaction is in the log that was signed, and cosigned as a policy wants.

    Exit code 0 all valid, 1 any invalid, 2 something could not be checked. What ties a record to the transaction stands in its receipt.
    """
    from gateway.verifiers import INVALID, NOT_CHECKED

    genesis_bytes, wanted = read_file(genesis), policy_of(policy)
    outcomes = [_outcome(path, genesis_bytes, wanted) for path in proofs]
    tell({"proofs": outcomes}, as_json=as_json, text=lambda: "\n".join(map(_words, outcomes)))
    results = {outcome["result"] for outcome in outcomes}
    leave(FINDINGS if INVALID in results else COULD_NOT if NOT_CHECKED in results else DONE)


def _outcome(path: Path, genesis: bytes, policy: Any) -> dict[str, Any]:
    from gateway import tlog_proof
    from gateway.errors import CouldNotCheck
    from gateway.recorded import ReceiptInvalid
    from gateway.verifiers import INVALID, NOT_CHECKED, VALID

    try:
        verdict = tlog_proof.verify_tlog_proof(path.read_bytes(), genesis, policy)
    except OSError as error:
        return {"file": str(path), "result": NOT_CHECKED, "detail": error.strerror or "cannot be read"}
    except ReceiptInvalid as error:
        return {"file": str(path), "result": INVALID, "detail": str(error)}
    except CouldNotCheck as error:
        return {"file": str(path), "result": NOT_CHECKED, "detail": str(error)}
    return {"file": str(path), "result": VALID, **verdict._asdict()}


def _words(outcome: dict[str, Any]) -> str:
    lines = [f"{outcome['result'].upper()}  {outcome['file']}"]
    if "detail" in outcome:
        lines.append(f"  {outcome['detail']}")
    else:
        lines.append(f"  in the log  {outcome['kind']}, entry {outcome['log_index']} of {outcome['log_size']}")
        lines += [f"  cosigned by {name}" for name in outcome["cosigned_by"]]
        lines.append("  checked     chain; log's signature; path to the checkpoint's root; gateway's signature")
        lines += [f"  not checked {what}" for what in outcome["not_checked"]]
    return "\n".join(map(printable, lines))


def policy_of(path: Path | None) -> Any:
    from gateway.errors import CouldNotCheck
    from gateway.tlog_policy import Policy

    try:
        return None if path is None else Policy.parse(read_file(path))
    except CouldNotCheck as error:
        raise CouldNot(f"{path}: {error}") from error
