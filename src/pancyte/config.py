"""Files and ``key=value`` overrides to settings objects and back; only this module knows pydantic.

A configuration file is TOML (written and read), YAML without aliases, or JSON. It holds data only:
no code, no class paths. What it may contain is declared by the ``@params`` classes themselves, so
an unknown key or a value out of range is an error that names the file, the key and, for a
misspelling, the key that was probably meant.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, get_args, get_type_hints

import tomli_w
import yaml
from pydantic import TypeAdapter, ValidationError

from pancyte.errors import ConfigError, near_miss

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

_T = TypeVar("_T")

_NONE: Final = "none"
"""How a setting that is None stands in a file."""

_IN_WORDS: Final = {
    "tuple_type": "expected a list, such as [0.5, 0.75]",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "string_type": "expected a text",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "finite_number": "expected a finite number",
}
"""What was expected, by pydantic's name of the error."""


def read_config(path: Path, cls: type[_T], overrides: Sequence[str] = ()) -> _T:
    """Read a settings object from a TOML, YAML or JSON file.

    Parameters
    ----------
    path
        The file; its suffix says the format.
    cls
        The ``@params`` class (or union of them) to read.
    overrides
        ``key=value`` strings, dots descending: ``task.decoding.min_size=30``. A value is read
        as TOML and taken as text where that fails: ``name=dapi``, ``rate=1e-3``, ``axes=[1, 2]``.

    Raises
    ------
    ConfigError
        The file is missing or malformed, or a key or value is not accepted.
    """
    return from_mapping(cls, apply_overrides(read_mapping(path), overrides), where=str(path))


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a TOML, YAML or JSON file whose top level is a mapping."""
    suffix = path.suffix.lower()
    if suffix not in {".toml", ".yaml", ".yml", ".json"}:
        got = suffix or "no suffix"
        msg = f"{path}: expected a .toml, .yaml or .json configuration, but got {got!r}"
        raise ConfigError(msg)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        msg = f"{path}: no such configuration file. Check the path."
        raise ConfigError(msg) from error
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read ({error}). Check the path and its permissions."
        raise ConfigError(msg) from error
    try:
        mapping = _parse(text, suffix)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, json.JSONDecodeError, RecursionError) as error:
        msg = f"{path}: not valid {suffix[1:].upper()}: {error}"
        raise ConfigError(msg) from error
    if not isinstance(mapping, dict):
        msg = f"{path}: expected a table of keys and values, but got {type(mapping).__name__}"
        raise ConfigError(msg)
    return mapping


def apply_overrides(mapping: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of nested mappings with ``a.b=value`` overrides applied.

    Examples
    --------
    >>> apply_overrides({"task": {"kind": "flow"}}, ["task.decoding.min_size=30", "name=dapi"])
    {'task': {'kind': 'flow', 'decoding': {'min_size': 30}}, 'name': 'dapi'}
    """
    result: dict[str, Any] = _copy(mapping)
    for override in overrides:
        key, equals, text = override.partition("=")
        *parents, last = [part.strip() for part in key.split(".")]
        if not equals or not all((*parents, last)):
            msg = f"--set {override}: expected key=value, such as --set decoding.min_size=30"
            raise ConfigError(msg)
        table = result
        for depth, parent in enumerate(parents):
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                name = ".".join(parents[: depth + 1])
                msg = f"--set {override}: {name} is a value, not a table of settings"
                raise ConfigError(msg)
        table[last] = _parse_value(text.strip())
    return result


def from_mapping(cls: type[_T], mapping: Mapping[str, Any], *, where: str) -> _T:
    """Make a settings object from nested mappings, refusing what its class does not declare.

    Parameters
    ----------
    cls
        The ``@params`` class, or a union of them told apart by ``kind``.
    mapping
        Plain values as read from a file; the text ``none`` is None.
    where
        Named at the start of an error message: the file, or the option.
    """
    values = _replaced(mapping, _NONE, None)
    try:
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            # Names may be written in any letter case; what is then still wrong is told.
            return TypeAdapter(cls).validate_python(_in_known_case(values, error))
    except ValidationError as error:
        known = sorted(set(_field_names(cls)))
        # A union reports what each of its members expected; the user reads each key once.
        found: dict[str, list[str]] = {}
        for detail in _of_chosen_members(error.errors(include_url=False)):
            path, message = _describe(detail, known)
            found.setdefault(path, []).append(message)
        lines = [" or ".join(dict.fromkeys(messages)) for messages in found.values()]
        msg = f"{where}: " + "; ".join(lines)
        raise ConfigError(msg) from error


def to_mapping(settings: object) -> dict[str, Any]:
    """Turn a settings object into plain values, which :func:`from_mapping` reads back as equal.

    A setting that is None is written as the text ``none``, since TOML has no null.
    """
    mapping = TypeAdapter(type(settings)).dump_python(settings, mode="json")
    return cast("dict[str, Any]", _replaced(mapping, None, _NONE))


def to_toml(mapping: Mapping[str, Any]) -> str:
    """Write nested plain values as TOML text."""
    return tomli_w.dumps(mapping)


def _parse(text: str, suffix: str) -> object:
    if suffix == ".toml":
        return tomllib.loads(text)
    if suffix == ".json":
        return json.loads(text)
    # An alias can make a few bytes explode ("billion laughs"), and no configuration needs one.
    for token in yaml.scan(text):
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
            msg = f"YAML anchors and aliases are not accepted (line {token.start_mark.line + 1})"
            raise yaml.YAMLError(msg)
    return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - derives from SafeLoader


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML in which a key that stands twice is an error, as it is in TOML."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            msg = f"a key stands twice in the table at line {node.start_mark.line + 1}"
            raise yaml.YAMLError(msg)
        return mapping


def _parse_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return _NONE if text.lower() in {"none", "null"} else text


def _copy(value: Any) -> Any:  # noqa: ANN401 - plain values of any kind
    return (
        {key: _copy(item) for key, item in value.items()} if isinstance(value, Mapping) else value
    )


def _replaced(value: Any, old: object, new: object) -> Any:  # noqa: ANN401 - plain values of any kind
    """Return a copy in which settings (values of tables, not items of lists) are replaced."""
    if isinstance(value, Mapping):
        return {
            key: new if item == old else _replaced(item, old, new) for key, item in value.items()
        }
    return [_replaced(item, old, new) for item in value] if isinstance(value, list) else value


def _in_known_case(values: dict[str, Any], error: ValidationError) -> dict[str, Any]:
    """Return values in which names that differ by letter case alone are written as declared."""
    values = copy.deepcopy(values)
    for detail in error.errors(include_url=False):
        if detail["type"] != "literal_error" or not isinstance(detail["input"], str):
            continue
        same = [n for n in _choices(detail) if n.casefold() == detail["input"].casefold()]
        table: Any = values
        # Between the keys stand names of the members of unions.
        *parents, last = detail["loc"]
        for part in parents:
            is_index = isinstance(table, list | tuple) and isinstance(part, int)
            if is_index or (isinstance(table, dict) and part in table):
                table = table[part]
        if same and isinstance(table, dict) and last in table:
            table[last] = same[0]
    return values


def _of_chosen_members(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out what the members of a union say that ``kind`` did not choose.

    Where it chose none, one error is left, which names the kinds of all.
    """
    rejected = {d["loc"][:-1] for d in details if _is_wrong_kind(d)}
    for place in {loc[:-1] for loc in rejected}:
        inside = [d for d in details if d["loc"][: len(place)] == place]
        members = {d["loc"][: len(place) + 1] for d in inside}
        if members <= rejected:
            kinds = [d for d in inside if _is_wrong_kind(d) and d["loc"][:-2] == place]
            names = " or ".join(f"'{name}'" for d in kinds for name in _choices(d))
            kind = {**kinds[0], "msg": f"expected {names}", "ctx": {"expected": names}}
            kept = [cast("ErrorDetails", kind)]
        else:
            kept = [d for d in inside if d["loc"][: len(place) + 1] not in rejected]
        details = [d for d in details if d not in inside] + kept
    return details


def _is_wrong_kind(detail: ErrorDetails) -> bool:
    return detail["type"] == "literal_error" and detail["loc"][-1:] == ("kind",)


def _choices(detail: ErrorDetails) -> list[str]:
    return re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))


def _describe(detail: ErrorDetails, known: Sequence[str]) -> tuple[str, str]:
    """Return the path of a key and what is wrong with it."""
    *parents, last = detail["loc"] or ("",)
    unexpected = detail["type"] == "unexpected_keyword_argument"
    # Between the names of settings stand those of the members of unions, which mean nothing here.
    parts = [part for part in parents if isinstance(part, int) or part in known]
    if unexpected or isinstance(last, int) or last in known:
        parts.append(last)
    path = ".".join(map(str, parts))
    if unexpected:
        if last in known:
            return path, f"unknown key {path!r} (a setting of another table or kind)"
        near = difflib.get_close_matches(str(last), known, n=1)
        return path, f"unknown key {path!r}" + (f" (did you mean {near[0]!r}?)" if near else "")
    if detail["type"] == "missing":
        return path, f"the key {path!r} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "literal_error":
        hint = near_miss(str(detail["input"]), _choices(detail)).replace(" Did", " (did")
        return path, f"{path}: {message}, got {detail['input']!r}{hint}{')' if hint else ''}"
    if detail["type"] != "value_error":  # which says itself what it got
        message = f"{_IN_WORDS.get(detail['type'], message)}, got {detail['input']!r}"
    return path, f"{path}: {message}" if path else message


def _field_names(cls: object) -> Iterator[str]:
    """Yield the names of all fields that a settings class can hold, at any depth."""
    if dataclasses.is_dataclass(cls) and isinstance(cls, type):
        for field in dataclasses.fields(cls):
            yield field.name
        for hint in get_type_hints(cls).values():
            yield from _field_names(hint)
    for argument in get_args(cls):
        yield from _field_names(argument)
