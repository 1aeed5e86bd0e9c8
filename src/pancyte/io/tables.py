"""Tables as CSV, documents as JSON; both written atomically and read back as they were.

A float is written with the fewest digits that give the same float back. NaN is ``nan`` in CSV and
``null`` in JSON, which has no NaN; a missing CSV value reads as the empty string.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pancyte.errors import InputError
from pancyte.io.files import write_text


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of equal length as CSV (RFC 4180), atomically.

    Parameters
    ----------
    path
        The file to make or to replace.
    columns
        Name to values. None is written as an empty field.

    Raises
    ------
    ValueError
        The columns differ in length.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        msg = f"Expected columns of equal length, but got {lengths}"
        raise ValueError(msg)
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(columns)
    texts = [[_as_text(value) for value in column] for column in columns.values()]
    writer.writerows(zip(*texts, strict=True))
    write_text(path, stream.getvalue())


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        # str of a float32 has the digits that tell it from its float32 neighbors.
        return str(value).removesuffix(".0")
    return str(value)


def read_csv(path: Path) -> dict[str, list[str]]:
    """Read a CSV file with a header line into columns of text.

    Raises
    ------
    InputError
        The file cannot be read, has no header, or a row of another length.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream, strict=True))
    except FileNotFoundError as error:
        msg = f"{path}: no such table. Check the path."
        raise InputError(msg) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{path}: cannot be read as CSV in UTF-8 ({error}). Export it again."
        raise InputError(msg) from error
    if not rows:
        msg = f"{path}: is empty. A table begins with a line of column names."
        raise InputError(msg)
    names, *body = rows
    if len(set(names)) < len(names):
        msg = f"{path}: has a column name twice in {names}. Give each column its own name."
        raise InputError(msg)
    filled = [(number, row) for number, row in enumerate(body, start=2) if row]
    for number, row in filled:
        if len(row) != len(names):
            msg = f"{path}: row {number} has {len(row)} fields, but there are {len(names)} columns."
            raise InputError(msg)
    return {name: [row[i] for _, row in filled] for i, name in enumerate(names)}


def write_json(path: Path, document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write a document as JSON, atomically: NaN and infinity as null, arrays and tuples as lists.

    Raises
    ------
    TypeError
        A value has no counterpart in JSON.
    """
    text = json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _plain(value: Any) -> Any:  # noqa: ANN401 - any document
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [
            _plain(item) for item in (value if isinstance(value, list | tuple) else sorted(value))
        ]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def read_json(path: Path) -> Any:  # noqa: ANN401 - any document
    """Read a JSON file.

    Raises
    ------
    InputError
        The file cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        msg = f"{path}: no such file. Check the path."
        raise InputError(msg) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        msg = f"{path}: cannot be read as JSON ({error}). Copy it again."
        raise InputError(msg) from error
