"""Where the numbers of a training go: :class:`~pancyte.protocols.Tracker` implementations.

A CSV file is always written; TensorBoard comes with the extra ``pancyte[tensorboard]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pancyte.errors import InputError, UsageError
from pancyte.io.tables import read_csv, write_csv

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
        names = dict.fromkeys(name for row in self.rows for name in row)
        columns = {name: [_cell(name, row.get(name)) for row in self.rows] for name in names}
        write_csv(self.path, columns)

    def keep(self, folder: Path) -> None:
        """Do nothing: the model lies beside the table."""

    def close(self) -> None:
        """Do nothing: each row is on disk when :meth:`log` returns."""


class TensorBoardTracker:
    """Scalars in TensorBoard event files; those after ``last_step`` are no longer shown."""

    def __init__(self, folder: Path, *, last_step: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional
        except ImportError as error:
            msg = "TensorBoard is not here. Install it with: pip install 'pancyte[tensorboard]'"
            raise UsageError(msg) from error
        self._writer = SummaryWriter(str(folder), purge_step=last_step + 1)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add one scalar per name at a step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def keep(self, folder: Path) -> None:
        """Do nothing: there is no place for models."""

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
    columns = read_csv(path)
    try:
        rows = [
            {name: float(cell) for name, cell in zip(columns, cells, strict=True) if cell}
            for cells in zip(*columns.values(), strict=True)
        ]
    except ValueError as error:
        msg = f"{path}: not a table of numbers ({error}). Delete it, or train in a new folder."
        raise InputError(msg) from error
    if any("step" not in row for row in rows):
        msg = f"{path}: a row has no value of step. Delete it, or train in a new folder."
        raise InputError(msg)
    return rows


def _cell(name: str, value: float | None) -> str | None:
    if value is None:
        return None
    return str(int(value)) if name == "step" else f"{value:.6g}"
