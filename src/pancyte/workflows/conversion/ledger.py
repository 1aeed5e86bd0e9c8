"""What became of each key of a foreign configuration, so that none is lost without a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_NOTHING: Final = object()


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of the source."""

    key: str
    """Where it stands, such as ``optimizer.params.lr``."""
    value: Any
    target: str
    """Key of ours that took its place, or the option of a command; empty where it was dropped."""
    note: str = ""
    """Why it was dropped, or what is different."""

    def __str__(self) -> str:
        became = f"-> {self.target}" if self.target else "dropped"
        note = f" ({self.note})" if self.note else ""
        return f"{self.key} = {self.value!r} {became}{note}"


@dataclass(slots=True)
class Ledger:
    """The keys of a source that are accounted for, and the settings that they became."""

    source: Mapping[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    """Of ours, nested as in a file."""
    entries: list[Entry] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)
    """What the user has to do before the settings can be used, a sentence each."""

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - as in the file
        """Return the value at a dotted key, without accounting for it."""
        value: Any = self.source
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        return value

    def has(self, key: str) -> bool:
        """Return whether the source has a dotted key."""
        return self.get(key, _NOTHING) is not _NOTHING

    def keep(
        self,
        key: str,
        target: str,
        value: Any = _NOTHING,  # noqa: ANN401 - of any setting
        *,
        note: str = "",
    ) -> None:
        """Set one of our settings from a key of the source, if it is there."""
        if not self.has(key):
            return
        found = self.get(key)
        self.set(target, found if value is _NOTHING else value)
        self.entries.append(Entry(key, found, target, note))

    def use(self, key: str, target: str, *, note: str = "") -> None:
        """Account for a key that became something other than one setting, if it is there."""
        if self.has(key):
            self.entries.append(Entry(key, self.get(key), target, note))

    def drop(self, key: str, reason: str) -> None:
        """Account for a key, or all keys below it, that has no equivalent, if it is there."""
        if self.has(key):
            self.entries.append(Entry(key, self.get(key), "", reason))

    def set(self, target: str, value: Any) -> None:  # noqa: ANN401 - of any setting
        """Set one of our settings; None is left out, which is its default nearly everywhere."""
        *parents, last = target.split(".")
        place = self.settings
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = "none" if value is None else value

    def finish(self, system: str) -> None:
        """Account for all keys that nothing has accounted for."""
        known = [entry.key for entry in self.entries]
        for key, value in _leaves(self.source):
            if not any(key == name or key.startswith(name + ".") for name in known):
                reason = f"{system} has no such key"
                self.entries.append(Entry(key, value, "", reason))


def _leaves(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the dotted keys of all values; an empty mapping has none."""
    result: list[tuple[str, Any]] = []
    for name, value in mapping.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            result += _leaves(value, f"{key}.")
        else:
            result.append((key, value))
    return result
