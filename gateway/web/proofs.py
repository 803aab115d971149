"""GET /ledger/proofs/{kind}: proofs about the ledger, for anyone (docs/design/ledger.md, proofs).

Each is read from a few rows, whatever the chain's length. What names sizes and heights is answered with the same bytes for ever; what is
about the last block holds for a slot.
"""

from flask import Blueprint, Response, request

from chain.database import LedgerDamaged
from chain.merkle import ProofError
from gateway.errors import NotFound, Unavailable
from gateway.proving import KINDS, bad, is_for_ever, proven, start_of
from gateway.receipt_json import to_json
from gateway.web.authorization import public
from gateway.web.request_context import ledger

FOR_EVER = "public, max-age=31536000, immutable"

proofs = Blueprint("proofs", __name__)


@proofs.get(f"/ledger/proofs/<any({', '.join(KINDS)}):kind>")
@public
def proof(kind: str) -> Response:
    """`finality`, `inclusion`, `consistency` or `state`; what each may be asked stands in `gateway.proving`."""
    asked = _asked()
    try:
        answer = Response(to_json(proven(ledger(), kind, asked)), content_type="application/json")
    except ProofError as error:
        raise NotFound(str(error)) from error
    except LedgerDamaged as error:
        raise Unavailable("the ledger cannot prove this for now") from error
    answer.headers["Cache-Control"] = FOR_EVER if is_for_ever(kind, asked) else f"public, max-age={ledger().genesis.slot_seconds}"
    return answer


def start_asked() -> int:
    """`from` of a request for a receipt, the height of a final block; 0 is the genesis. Raises InvalidInput, NotFound."""
    start = start_of(_asked())
    if start > ledger().height():
        raise NotFound("there is no final block at the height that `from` names yet")
    return start


def _asked() -> dict[str, str]:
    if any(len(values) > 1 for _, values in request.args.lists()):
        raise bad("each parameter stands once")
    return request.args.to_dict()
