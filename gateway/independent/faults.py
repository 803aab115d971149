"""The two ways in which a check does not end well."""


class Invalid(Exception):
    """The receipt, or what was laid beside it, is not what it claims to be; the message says which value."""


class Unreadable(Exception):
    """What to check against cannot be read, so that nothing was checked: neither valid nor invalid."""
