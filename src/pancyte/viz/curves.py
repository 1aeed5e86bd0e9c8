"""Pictures of how a training went."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pancyte.io.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def draw_curves(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Draw loss terms and validation scores over the steps of a training into a PNG file.

    Parameters
    ----------
    path
        The picture; replaced where it exists.
    rows
        One mapping per logged step: ``step``, ``loss/<term>`` and ``val/<score>``, as in
        ``metrics.csv``. Columns of single modalities are drawn thin. No rows give empty axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - half a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(10, 4), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    loss_axes, score_axes = figure.subplots(1, 2)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for axes, prefix in ((loss_axes, "loss/"), (score_axes, "val/")):
        for name in (name for name in names if name.startswith(prefix)):
            points = [(row["step"], row[name]) for row in rows if name in row]
            label = name.removeprefix(prefix)
            whole = "/" not in label
            axes.plot(
                *zip(*points, strict=True),
                label=label,
                linewidth=2 if whole else 0.8,
                marker="." if prefix == "val/" else None,
                alpha=1 if whole else 0.7,
            )
        axes.set_xlabel("step")
        axes.grid(visible=True, alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="x-small")
    loss_axes.set_ylabel("loss")
    score_axes.set(ylabel="validation score", ylim=(0, 1))
    buffer = io.BytesIO()
    canvas.print_png(buffer)  # type: ignore[no-untyped-call]
    write_bytes(path, buffer.getvalue())
