"""Moving the key-encryption keys to where another URI says: from a file to a KMS that wraps them, back, or to another file or key.

The keys stay the same, so nothing in the database changes. In order: the new file is written and read again, the old one goes, the setting
changes. A crash leaves at least one file that holds the keys; the next call finds what is done and goes on.
"""

from dataclasses import replace

from gateway.settings import BadSetting, Settings, change_setting
from gateway.vault.kek_file import KekFile, KeyFileUnusable
from gateway.vault.kms import kms_of


def move_keks(settings: Settings, kek_uri: str) -> None:
    """From where `settings` say to `kek_uri`. Raises KeyFileUnusable, KmsFailed, BadSetting; OSError where a file cannot be written."""
    new = replace(settings, kek_uri=kek_uri)
    old_file, new_file = (KekFile(each.kek_path, kms_of(each.kek_uri)) for each in (settings, new))
    with old_file.changing():
        _move(settings, old_file, new, new_file)
        change_setting(settings.home, "kek_uri", kek_uri)


def _move(settings: Settings, old_file: KekFile, new: Settings, new_file: KekFile) -> None:
    is_same_place = new.kek_path.absolute() == settings.kek_path.absolute()
    try:
        keys = old_file.read()
    except KeyFileUnusable as error:
        if not is_same_place and settings.kek_path.exists():  # whatever it holds is not known to be anywhere else
            raise
        try:
            new_file.read()  # it was moved before
        except KeyFileUnusable:
            raise error from None
    else:
        if not is_same_place and new.kek_path.exists() and new_file.read() != keys:
            raise BadSetting(f"--kek-uri: {new.kek_path} holds other keys; a file with keys is never written over")
        new_file.write(keys)
    if not is_same_place:
        settings.kek_path.unlink(missing_ok=True)
