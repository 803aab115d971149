"""The HTTP application: routes, one module an interaction, behind one check of who may call and one table of errors."""

from flask import Flask

from chain.ledger import Ledger
from gateway.readiness import Readiness
from gateway.receipts import ReceiptAssembler
from gateway.services import Services
from gateway.web.audit_event import audit_event
from gateway.web.authorization import enforce
from gateway.web.bundle import bundle
from gateway.web.consent import consent
from gateway.web.create import create
from gateway.web.delete import delete
from gateway.web.errors import answer_errors
from gateway.web.everything import everything
from gateway.web.health import health
from gateway.web.history import history
from gateway.web.ledger import ledger_routes
from gateway.web.metadata import metadata
from gateway.web.proofs import proofs
from gateway.web.read import read
from gateway.web.receipts import receipts
from gateway.web.request_context import follow_requests
from gateway.web.search import search
from gateway.web.smart_configuration import smart_configuration
from gateway.web.tlog import tlog
from gateway.web.token import token
from gateway.web.tombstone import tombstone
from gateway.web.update import update
from gateway.web.verify import verify
from gateway.web.voting import voting

_BLUEPRINTS = (
    token,
    smart_configuration,
    metadata,
    audit_event,
    bundle,
    consent,
    create,
    update,
    delete,
    read,
    history,
    search,
    everything,
    receipts,
    tombstone,
    ledger_routes,
    proofs,
    verify,
    tlog,
    voting,
    health,
)


def create_app(services: Services, ledger: Ledger) -> Flask:
    """A WSGI application on open services and the ledger to read. It opens nothing itself."""
    app = Flask("gateway.web", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.extensions["services"] = services
    app.extensions["ledger"] = ledger
    app.extensions["readiness"] = Readiness(services.settings, services.store, ledger, services.clock)
    app.extensions["receipts"] = ReceiptAssembler(services, ledger)
    app.url_map.strict_slashes = False  # no redirect may carry a body or a token elsewhere
    app.url_map.merge_slashes = False
    follow_requests(app)
    enforce(app)
    answer_errors(app)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app
