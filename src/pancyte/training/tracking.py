"""Where the numbers of a training go: :class:`~pancyte.protocols.Tracker` implementations.

A CSV file is always written; TensorBoard comes with the extra ``pancyte[tensorboard]``.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from pancyte.errors import InputError, UsageError
from pancyte.io.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class CsvTracker:
    """One row per step in a CSV file, which is complete and readable after every call.

    Columns are added as names appear; a name without a value at a step has an empty cell. An
    existing file is continued, and its rows after ``last_step`` are dropped: they belong to a part
    of the training that is done again.
    """

    def __init__(self, path: Path, *, last_step: int = 0) -> None:
        self.path = path
        self.rows = [row for row in read_metrics(path) if row["step"] <= last_step]

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values to the row of a step and write the file."""
        if not self.rows or self.rows[-1]["step"] != step:
            self.rows.append({"step": step})
        self.rows[-1].update(values)
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({n: _format(n, v) for n, v in row.items()} for row in self.rows)
        write_text(self.path, buffer.getvalue())

    def close(self) -> None:
        """Do nothing: each row is on disk when :meth:`log` returns."""


class TensorBoardTracker:
    """Scalars in a TensorBoard event file."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional
        except ImportError as error:
            msg = "TensorBoard is not here. Install it with: pip install 'pancyte[tensorboard]'"
            raise UsageError(msg) from error
        self._writer = SummaryWriter(str(folder))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add one scalar per name at a step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is pending and close the event file."""
        self._writer.close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Read the rows of a ``metrics.csv``, without their empty cells; none where there is no file.

    Raises
    ------
    InputError
        The file is no table of numbers with a column ``step``.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        try:
            rows = [
                {name: float(value) for name, value in row.items() if value}
                for row in csv.DictReader(file)
            ]
        except (ValueError, TypeError, csv.Error) as error:
            msg = f"{path}: not a table of numbers ({error}). Delete it, or train in a new folder."
            raise InputError(msg) from error
    if any("step" not in row for row in rows):
        msg = f"{path}: a row has no value of step. Delete it, or train in a new folder."
        raise InputError(msg)
    return rows


def _format(name: str, value: float) -> str:
    return str(int(value)) if name == "step" else f"{value:.6g}"
