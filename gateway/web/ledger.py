"""The ledger to read (docs/design/ledger.md): its head and blocks for anyone, since they name no patient and prove themselves."""

import msgspec
from flask import Blueprint, Response

from chain.block import FinalBlock, Header
from chain.transactions import MAX_HEIGHT
from gateway.errors import NotFound
from gateway.stake_submission import MAX_BYTES, submit_signed
from gateway.vault.submission import to_base64url
from gateway.web.authorization import public
from gateway.web.proofs import FOR_EVER
from gateway.web.request_body import request_body
from gateway.web.request_context import ledger, services

ledger_routes = Blueprint("ledger", __name__)


@ledger_routes.get("/ledger/head")
@public
def head() -> Response:
    """The last final block's header; height 0 and the chain id in place of a hash before the first."""
    found = ledger().head()
    chain_id = services().chain_id.hex()
    return json_answer({"chain_id": chain_id, "height": 0, "hash": chain_id} if found is None else _header(found))


@ledger_routes.get(f"/ledger/blocks/<int(max={MAX_HEIGHT}):height>")
@public
def block(height: int) -> Response:
    """A final block, whole: it never changes. Binary fields in base64url without padding, hashes in hex."""
    found = ledger().block(height)
    if found is None:
        raise NotFound("there is no final block at this height")
    answer = json_answer(_block(found))
    answer.headers["Cache-Control"] = FOR_EVER
    return answer


@ledger_routes.get("/ledger/delegates")
@public
def delegates() -> Response:
    """Who acts, who follows, and who stands for election, the most approved first."""
    found = ledger().delegates
    standing = [
        {"key": key.hex(), "name": entry.name, "approval": entry.approval, "jailed": entry.jailed} for key, entry in found.standing()
    ]
    acting, following = ([key.hex() for key in one.keys] for one in (found.acting(), found.following()))
    return json_answer({"acting": acting, "following": following, "standing": standing})


@ledger_routes.post("/ledger/transactions")
@public
def submit() -> Response:
    """Take a transaction that a holder of stake or a delegate signed: its bytes are the body. 202, and the ledger decides within slots."""
    raw = request_body(MAX_BYTES)
    taken = submit_signed(services().index, ledger(), raw, int(services().clock()))
    answer = json_answer({"id": taken.tx_id(services().chain_id).hex(), "kind": taken.kind.name, "valid_until": taken.valid_until})
    answer.status_code = 202
    return answer


def _header(header: Header) -> dict[str, object]:
    return {
        "chain_id": header.chain_id.hex(),
        "height": header.height,
        "hash": header.hash().hex(),
        "slot": header.slot,
        "time": header.time,
        "log_size": header.log_size,
        "log_root": header.log_root.hex(),
        "state_root": header.state_root.hex(),
        "header": to_base64url(header.to_bytes()),
    }


def _block(found: FinalBlock) -> dict[str, object]:
    return {
        **_header(found.header),
        "signature": to_base64url(found.signature),
        "transactions": [to_base64url(transaction) for transaction in found.transactions],
        "votes": [[vote.delegate, to_base64url(vote.signature)] for vote in found.votes],
    }


def json_answer(told: object) -> Response:
    """An answer of the ledger's routes."""
    return Response(msgspec.json.encode(told), content_type="application/json")
