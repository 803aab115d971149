"""Every way a request can fail, by whose fault it is.

    GatewayError
    |- Refused              the caller's: the answer says what to change
    |  |- Unauthorized      401  no token, or none that holds            login | expired
    |  |- Forbidden         403  the token does not allow it             forbidden
    |  |- NotFound          404                                          not-found
    |  |- Gone              410                                          deleted
    |  |- Conflict          409  changed meanwhile                       conflict
    |  |  |- Held            a legal hold forbids to erase a patient  gateway.erasure
    |  |  `- JoinedTooMany   others would be erased with the patient  gateway.erasure
    |  |- PreconditionFailed 412 If-Match, If-None-Exist                 conflict | multiple-matches
    |  |- TooLarge          413                                          too-long
    |  |- UnsupportedMedia  415                                          not-supported
    |  |- NotSupported      501  FHIR, but not of this server            not-supported
    |  |- Deleted            a Gone that says where the tombstone is (gateway.disclosure)
    |  |- SubmissionInvalid  the sender's signature, or what it says (gateway.vault.submission)
    |  |- NotAdmitted        a transaction of stake that the ledger would refuse (gateway.stake_submission)
    |  |- BallotRefused      a delegate's vote that does not hold (gateway.voting)
    |  `- NotRetired         the operator's: an old key is still needed (gateway.key_rotation)
    |- Unavailable          503  ours, and passing: Retry-After          transient
    |  |- TracesRemain        what an erasure overwrites is in use (gateway.index.traces)
    |  `- TakenOver           for good: another home was restored from this one's backup (gateway.tenure)
    |- TooManyRequests      429  later (gateway.web.errors)              throttled
    |- NotAcceptable        406  no such rendering (gateway.web.media_type)
    |- SealBroken           500  what is stored is not what was sealed: gateway.vault.errors has its tree
    |- SchemaUnknown        at the start: the database is a newer version's (gateway.index.migrate)
    |- AgeFileUnopened      of an encrypted backup: another key's, cut or altered (gateway.vault.age_file)
    |- SecretMissing        500  the database lacks a key of the gateway's own (gateway.index.secrets)
    |- KeyFileUnusable      at the start: the file of the key-encryption keys (gateway.vault.kek_file)
    `- KmsFailed            at the start: what wraps them does not answer, or refuses (gateway.vault.kms)

Not GatewayErrors, as they never reach a request: `settings.BadSetting`, `founding.FoundingRefused`, `serving.CouldNotServe` and
`key_files.KeyFileUnusable` (the ledger's keys).
`web.oauth_error.OAuthError` is the token endpoint's own; `chain.errors.LedgerError` is the ledger's.

`fhir_adapters.InvalidInput` (400 or 422) stands beside them: the input's own faults, all of them.
What a check cannot decide is `CouldNotCheck`, never "false".
"""

from fhir_adapters.issue import Issue


class GatewayError(Exception):
    """Base of all that the gateway itself raises; `issue` is what the OperationOutcome says."""

    status = 500
    code = "exception"

    def __init__(self, diagnostics: str, *, code: str | None = None, expression: str | None = None) -> None:
        super().__init__(diagnostics)
        self.issue = Issue(code or self.code, diagnostics, expression)


class Refused(GatewayError):
    """The request cannot be served as it stands."""

    status = 400
    code = "invalid"


class Unauthorized(Refused):
    status = 401
    code = "login"


class Forbidden(Refused):
    status = 403
    code = "forbidden"


class NotFound(Refused):
    status = 404
    code = "not-found"


class Gone(Refused):
    status = 410
    code = "deleted"


class Conflict(Refused):
    status = 409
    code = "conflict"


class PreconditionFailed(Refused):
    status = 412
    code = "conflict"


class TooLarge(Refused):
    status = 413
    code = "too-long"


class UnsupportedMedia(Refused):
    status = 415
    code = "not-supported"


class NotSupported(Refused):
    status = 501
    code = "not-supported"


class Unavailable(GatewayError):
    """Storage or database is out of reach for now; nothing was half-written. `retry_after` in seconds."""

    status = 503
    code = "transient"

    def __init__(self, diagnostics: str, *, retry_after: int = 5) -> None:
        super().__init__(diagnostics)
        self.retry_after = retry_after


class CouldNotCheck(Exception):
    """A verification could not be carried out (a file is missing or unreadable): neither valid nor invalid. Exit code 2."""
