"""Whose signatures below a checkpoint are enough (C2SP tlog-policy): logs, witnesses, groups of them, and the quorum. Read and written."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from chain.note import COSIGNATURE, ED25519, NoteInvalid, VerifierKey
from gateway.errors import CouldNotCheck

NONE = "none"
_NUMBER = re.compile(r"[1-9][0-9]{0,3}")
_MAX_BYTES = 1 << 20


@dataclass(slots=True)
class Policy:
    """`groups` has for each how many of its members are needed; members and quorum are names of witnesses or earlier groups."""

    logs: list[VerifierKey] = field(default_factory=list)
    witnesses: dict[str, VerifierKey] = field(default_factory=dict)
    groups: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    quorum: str | None = None

    @classmethod
    def parse(cls, policy: bytes) -> "Policy":
        """Raises CouldNotCheck with the number of the line that is none."""
        found = cls()
        for number, line in enumerate(policy[:_MAX_BYTES].decode(errors="replace").split("\n"), 1):
            words = line.strip(" \t\r").replace("\t", " ").split(" ")
            words = [word for word in words if word]
            if not words or words[0].startswith("#"):
                continue
            try:
                found._read(words)
            except (NoteInvalid, ValueError) as error:
                raise CouldNotCheck(f"the policy's line {number}: {error}") from error
        if found.quorum is None:
            raise CouldNotCheck("the policy names no quorum")
        return found

    def verifiers(self) -> list[VerifierKey]:
        """Every key that the policy names."""
        return [*self.logs, *self.witnesses.values()]

    def is_met(self, cosigned: Collection[VerifierKey]) -> bool:
        """Whether these cosigners are enough."""
        present = {NONE: True} | {name: key in cosigned for name, key in self.witnesses.items()}
        for name, (needed, members) in self.groups.items():
            present[name] = sum(present[member] for member in members) >= needed
        return present[self.quorum or ""]

    def _read(self, words: Sequence[str]) -> None:
        """Raises ValueError, NoteInvalid."""
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                self.logs.append(_key(vkey, ED25519, self.logs))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self.witnesses[self._new(name)] = _key(vkey, COSIGNATURE, self.witnesses.values())
            case ["group", name, needed, *members] if members:
                self.groups[self._new(name)] = (_needed(needed, len(members)), tuple(map(self._known, members)))
            case ["quorum", name] if self.quorum is None:
                self.quorum = name if name == NONE else self._known(name)
            case _:
                raise ValueError("it is no line of a policy, or a second quorum")

    def _new(self, name: str) -> str:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise ValueError(f"the name {name!r} is taken")
        return name

    def _known(self, name: str) -> str:
        if name not in self.witnesses and name not in self.groups:
            raise ValueError(f"no witness or group {name!r} comes before it")
        return name


def policy_lines(logs: Sequence[VerifierKey], cosigners: Sequence[tuple[str, VerifierKey]]) -> Iterator[str]:
    """A policy by which a checkpoint needs the cosignatures of two thirds of the cosigners and one; names of theirs are comments."""
    for log in logs:
        yield f"log {log.to_text()}"
    names = []
    for name, cosigner in cosigners:
        names.append(f"delegate-{cosigner.name.rpartition('/')[2][:16]}")
        yield f"# {name}"
        yield f"witness {names[-1]} {cosigner.to_text()}"
    if names:
        yield f"group delegates {2 * len(names) // 3 + 1} {' '.join(names)}"
    yield f"quorum {'delegates' if names else NONE}"


def _key(vkey: str, type_: int, others: Collection[VerifierKey]) -> VerifierKey:
    key = VerifierKey.from_text(vkey)
    if key.type != type_ or key.public in [other.public for other in others]:
        raise ValueError("its key is there twice, or is of the other type: logs have 01, witnesses 04")
    return key


def _needed(text: str, members: int) -> int:
    needed = {"all": members, "any": 1}.get(text) or (int(text) if _NUMBER.fullmatch(text) else 0)
    if not 1 <= needed <= members:
        raise ValueError("a group needs all, any or a number of its members, and has not so many")
    return needed
