"""The tables of gateway.db (docs/adr/0008-index-layout.md).

No clinical text and no identifier stands here in clear: types, effective times and row numbers do; sources, identifiers and codes are
blind tokens. Keys are integers, a token has 16 bytes (8 where it stands within one archive), because what a row weighs decides how fast a
million of them are written. Times are milliseconds since 1970 UTC where the name ends in `_ms`, else seconds.

A resource's row number is the source of its id. `resource` holds the current version, `history` every earlier one; version 0 is a row that
is only reserved: something refers to it and it has not come yet.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, SmallInteger, Table, Text, UniqueConstraint
from sqlalchemy.sql.type_api import TypeEngine

metadata = MetaData()

# SQLite takes only INTEGER for its row number; elsewhere the same column needs 64 bits, and so does a time.
Key: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")

party = Table(
    "party",
    metadata,
    Column("row", Key, primary_key=True),
    Column("client_id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("role", SmallInteger, nullable=False),
    Column("signing", Text, nullable=False),  # own | gateway
    Column("jwks", Text, nullable=False),  # public keys for sign-in, JSON
    Column("signing_key", LargeBinary),  # Ed25519, public: signs its submissions
    Column("attestation_key", LargeBinary),  # Ed25519, public: the gateway's for this party
    Column("attestation_sealed", LargeBinary),  # its seed, sealed by the keyring
    Column("purposes", Text, nullable=False),  # space between; empty: any but emergencies
    Column("status", Text, nullable=False),  # active | suspended
    Column("archive", Key),  # a patient's own; no other role has one
    Column("created_at", Key, nullable=False),
    Column("tag", LargeBinary),  # gateway.index.row_tags; null: not written by this gateway
)

jti = Table(
    "jti",
    metadata,
    Column("party", Key, ForeignKey("party.row"), primary_key=True),
    Column("jti", LargeBinary, primary_key=True),  # SHA-256, first 16 bytes
    Column("expires_at", Key, nullable=False),
    Index("jti_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)

archive = Table(
    "archive",
    metadata,
    Column("row", Key, primary_key=True),
    Column("directory_of", Key, ForeignKey("party.row"), unique=True),  # an institution's own resources; null: a patient's archive
    Column("key_id", LargeBinary, nullable=False, unique=True),
    Column("suite", SmallInteger, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("sealed_seed", LargeBinary),  # null once the patient alone holds the key
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("next_number", BigInteger, nullable=False),  # running number of its next bundle
    Column("joined_to", Key, ForeignKey("archive.row")),  # the archive that goes on for both
    Column("created_at", Key, nullable=False),
    Column("tag", LargeBinary),  # gateway.index.row_tags; null: not written by this gateway
)

# Partial indices are so on PostgreSQL, too (their migrations say it): said here, each process would load what speaks to PostgreSQL.
Index(
    "archive_joined_to",
    archive.c.joined_to,
    sqlite_where=archive.c.joined_to.is_not(None),
)

membership = Table(
    "membership",
    metadata,
    Column("row", Key, primary_key=True, autoincrement=False),
    Column("archive", Key, ForeignKey("archive.row"), nullable=False),
    Column("root", Key, ForeignKey("archive.row"), nullable=False),  # the archive that goes on for the group; itself: it stands alone
    Column("sequence", BigInteger, nullable=False),  # the first number of the commit sequence for which it holds
    Column("tag", LargeBinary, nullable=False),  # gateway.index.row_tags
    Index("membership_archive", "archive"),
    Index("membership_root", "root"),
)

person = Table(
    "person",
    metadata,
    Column("resource", Key, primary_key=True),  # of a Patient
    Column("version", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # by the keyring, for this version: blind tokens of who it says it is
    sqlite_with_rowid=False,
)

review = Table(
    "review",
    metadata,
    Column("row", Key, primary_key=True),
    Column("archive", Key, ForeignKey("archive.row"), nullable=False),  # the older
    Column("other", Key, ForeignKey("archive.row"), nullable=False),
    Column("reason", Text, nullable=False),  # gateway.identity.joining
    Column("ground", LargeBinary, nullable=False),  # 16-byte token of what the two said of themselves then
    Column("opened_at", Key, nullable=False),
    Column("decided_at", Key),
    Column("decision", Text),  # join | keep-apart
    Column("decided_number", Integer),  # counts decisions, the later the higher
    Column("parted_at", Key),  # when the two were last split
    Column("tag", LargeBinary),  # gateway.index.row_tags
    UniqueConstraint("archive", "other", "ground"),
)

container = Table(
    "container",
    metadata,
    Column("row", Key, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("bundles", Integer, nullable=False),
    Column("leaves", Integer, nullable=False),
    Column("created_at", Key, nullable=False),
)

bundle = Table(
    "bundle",
    metadata,
    Column("row", Key, primary_key=True),
    Column("container", Key, ForeignKey("container.row"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("archive", Key, ForeignKey("archive.row"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("leaves", Integer, nullable=False),
    UniqueConstraint("archive", "number"),
    UniqueConstraint("container", "ordinal"),
)

resource = Table(
    "resource",
    metadata,
    Column("row", Key, primary_key=True),
    Column("type", SmallInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("deleted", SmallInteger, nullable=False),
    Column("issuer", Key, nullable=False),
    Column("archive", Key),
    Column("bundle", Key),
    Column("leaf", Integer),
    Column("updated_ms", BigInteger),
    Column("start", BigInteger),
    Column("end", BigInteger),
    Column("content", LargeBinary),  # 8-byte token of what was submitted, the row number in it
)
Index(
    "resource_archive_type_start",
    resource.c.archive,
    resource.c.type,
    resource.c.start,
    sqlite_where=resource.c.archive.is_not(None),
)
Index("resource_issuer_type", resource.c.issuer, resource.c.type, resource.c.row)
Index(
    "resource_reserved",
    resource.c.issuer,
    sqlite_where=resource.c.version == 0,
)
Index("resource_bundle", resource.c.bundle)

history = Table(
    "history",
    metadata,
    Column("row", Key, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("deleted", SmallInteger, nullable=False),
    Column("issuer", Key, nullable=False),
    Column("archive", Key),
    Column("bundle", Key),
    Column("leaf", Integer),
    Column("updated_ms", BigInteger),
    Column("start", BigInteger),
    Column("end", BigInteger),
    Column("content", LargeBinary),
    sqlite_with_rowid=False,
)
Index("history_bundle", history.c.bundle)

source_map = Table(
    "source_map",
    metadata,
    Column("token", LargeBinary, primary_key=True),  # of (institution, source id)
    Column("type", SmallInteger, primary_key=True),
    Column("resource", Key, nullable=False),
    sqlite_with_rowid=False,
)

code = Table(
    "code",
    metadata,
    Column("archive", Key, primary_key=True),
    Column("token", BigInteger, primary_key=True),  # of (kind, code) under the archive's token key, 64 bits, signed
    Column("resource", Key, primary_key=True),
    sqlite_with_rowid=False,
)

identifier = Table(
    "identifier",
    metadata,
    Column("token", LargeBinary, primary_key=True),  # of (type, system, value) under the index's own key
    Column("resource", Key, primary_key=True),
    sqlite_with_rowid=False,
)
Index("identifier_resource", identifier.c.resource)

co_archive = Table(
    "co_archive",
    metadata,
    Column("archive", Key, primary_key=True),  # of a further patient whom the record is about, and whose permission it needs, too
    Column("resource", Key, primary_key=True),
    Column("version", Integer, primary_key=True),
    sqlite_with_rowid=False,
)
Index("co_archive_resource", co_archive.c.resource)

submission = Table(
    "submission",
    metadata,
    Column("party", Key, ForeignKey("party.row"), primary_key=True),
    Column("digest", LargeBinary, primary_key=True),  # SHA-256 of the decoded body
    Column("container", Key, ForeignKey("container.row")),  # null if nothing was new
    Column("written", LargeBinary, nullable=False),  # gateway.index.submissions
    Column("received_at", Key, nullable=False),
    sqlite_with_rowid=False,
)

idempotency_key = Table(
    "idempotency_key",
    metadata,
    Column("party", Key, ForeignKey("party.row"), primary_key=True),
    Column("key", LargeBinary, primary_key=True),  # SHA-256, first 16 bytes
    Column("request", LargeBinary, nullable=False),  # SHA-256 of the request that came with it
    Column("written", LargeBinary, nullable=False),  # gateway.index.submissions
    Column("expires_at", Key, nullable=False),
    Index("idempotency_key_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)

consent_grant = Table(
    "consent_grant",
    metadata,
    Column("row", Key, primary_key=True),  # from the row numbers of resources: the source of the Consent's id
    Column("grant_id", LargeBinary, nullable=False, unique=True),  # one-time public key: what the ledger knows it by
    Column("archive", Key, ForeignKey("archive.row"), nullable=False),
    Column("grantee", Key, ForeignKey("party.row"), nullable=False),
    Column("types", Text, nullable=False),  # resource types, space between
    Column("purposes", Text, nullable=False),  # v3 ActReason codes, space between
    Column("rights", Text, nullable=False),  # read | write, space between
    Column("starts_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),  # the first second in which it no longer holds
    Column("sequence", BigInteger, nullable=False, unique=True),  # in the commit sequence
    Column("revoked_at_sequence", BigInteger, unique=True),
    Column("granted_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
    Column("content", LargeBinary, nullable=False),  # 8-byte token of the Consent, the archive's row number in it
    Column("sealed", LargeBinary, nullable=False),  # the Consent itself, by the keyring
    Column("exceptions_sealed", LargeBinary),  # its nested provisions, by the keyring; null: none
)
Index("consent_grant_grantee", consent_grant.c.grantee, consent_grant.c.archive)
Index("consent_grant_archive", consent_grant.c.archive, consent_grant.c.content)

access = Table(
    "access",
    metadata,
    Column("sequence", Key, primary_key=True, autoincrement=False),  # in the commit sequence
    Column("party", Key, ForeignKey("party.row"), nullable=False),  # who read
    Column("purpose", Text, nullable=False),  # v3 ActReason code, as it was stated
    Column("consent", Key, ForeignKey("consent_grant.row"), nullable=False),  # the grant it rests on
    Column("accessed_ms", BigInteger, nullable=False),
    Column("leaf", LargeBinary, nullable=False),  # docs/design/access.md
    Column("records", LargeBinary, nullable=False),  # gateway.index.accesses
    Column("batch", Key),  # last number of the ACCESS_BATCH that holds it; null while that is open
)
Index(
    "access_open",
    access.c.sequence,
    sqlite_where=access.c.batch.is_(None),
)

Index("access_consent", access.c.consent, access.c.sequence)

directory_link = Table(
    "directory_link",
    metadata,
    Column("resource", Key, primary_key=True),  # of an institution's directory
    Column("party", Key, ForeignKey("party.row"), primary_key=True),  # who was given a record that refers to it
    Column("consent", Key, primary_key=True),  # by that grant; 0: as its own
    Column("tag", LargeBinary),  # gateway.index.row_tags
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("kind", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Key, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("refused", Text),  # why the ledger cannot take it: set aside until the operator looks; null while in line
    Column("tag", LargeBinary),  # gateway.index.row_tags, for what the gateway is to sign
    sqlite_autoincrement=True,  # an id is never given twice, even after its row is gone: the pool remembers it
)

audit_report = Table(
    "audit_report",
    metadata,
    Column("row", Key, primary_key=True, autoincrement=True),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("levels", Text, nullable=False),  # space between
    Column("exit_code", SmallInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the body
    Column("body", LargeBinary, nullable=False),  # JSON; it names containers, rows and heights, nothing of a patient
    sqlite_autoincrement=True,
)

job_run = Table(
    "job_run",
    metadata,
    Column("job", Text, primary_key=True),
    Column("scheduled_for", BigInteger, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),  # while it runs, when it was last seen at work
    Column("outcome", Text, nullable=False),  # gateway.index.job_runs
    Column("attempts", SmallInteger, nullable=False),
    Column("holder", Text, nullable=False),  # host and home of the jobs process
    Column("told", Text, nullable=False),
    Index("job_run_started_at", "started_at"),
    sqlite_with_rowid=False,
)

ballot = Table(
    "ballot",  # of a delegate elsewhere, the last of each duty; and whatever stands below the log's checkpoint
    metadata,
    Column("delegate", LargeBinary, primary_key=True),  # public key
    Column("duty", Text, primary_key=True),  # chain.watermark.Duty
    Column("height", BigInteger, nullable=False),
    Column("block_hash", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

secret = Table(
    "secret",
    metadata,
    Column("name", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # by the keyring
    sqlite_with_rowid=False,
)

sequence = Table(
    "sequence",
    metadata,
    Column("name", Text, primary_key=True),
    Column("next", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

restore = Table(
    "restore",
    metadata,
    Column("row", Key, primary_key=True),
    Column("restored_at", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),  # the backup
    Column("log_size", BigInteger, nullable=False),  # of the chain in the backup
    Column("ledger_size", BigInteger, nullable=False),  # of the chain that the gateway goes on with: the same, or a newer copy's
    Column("last_archive", Key, nullable=False),  # row of the last archive that was in the backup
    Column("first_lost", BigInteger, nullable=False),  # numbers of the commit sequence that may have been given out after the backup
    Column("last_lost", BigInteger, nullable=False),
    Column("accepted_at", BigInteger),  # when the operator gave up what came after the backup
    Column("tag", LargeBinary, nullable=False),  # gateway.index.row_tags
)

hold = Table(
    "hold",
    metadata,
    Column("archive", Key, ForeignKey("archive.row"), primary_key=True),  # must not be erased
    Column("held_at", BigInteger, nullable=False),
)

uncleaned = Table(
    "uncleaned",
    metadata,
    Column("token", LargeBinary, primary_key=True),  # of the identifier by which a patient was erased; until the files hold no traces
    Column("archives", Integer, nullable=False),
    Column("records", Integer, nullable=False),
    sqlite_with_rowid=False,
)
