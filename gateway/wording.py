"""How many of what, as people write it."""

_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("xes", "x"), ("s", ""))


def counted(count: int, nouns: str) -> str:
    """`counted(1, "objects")` is "1 object", and 1200 are "1,200 objects"."""
    return f"{count:,} {of_number(count, nouns)}"


def of_number(count: int, nouns: str) -> str:
    """`nouns`, a plural with or without words around it, as it stands after `count`: its first plural becomes a singular after one."""
    words = nouns.split(" ")
    at = next((at for at, word in enumerate(words) if word.endswith("s") and not word.endswith("ss")), None)
    if count != 1 or at is None:
        return nouns
    ending, singular = next(pair for pair in _ENDINGS if words[at].endswith(pair[0]))
    return " ".join([*words[:at], words[at].removesuffix(ending) + singular, *words[at + 1 :]])
