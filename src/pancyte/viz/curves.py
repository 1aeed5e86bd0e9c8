"""Pictures of how a training went."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pancyte.io.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def draw_curves(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Draw loss terms and scores over the steps of a training into a PNG file.

    Parameters
    ----------
    path
        The picture; replaced where it exists.
    rows
        One mapping per logged step: ``step``, ``loss/<term>`` and ``val/<score>``, as in
        ``metrics.csv``, and ``test/<score>``. Columns of single classes are drawn thinner, those of
        single modalities thin. No rows give empty axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - half a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(10, 4), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    loss_axes, score_axes = figure.subplots(1, 2)
    names = list(dict.fromkeys(name for row in rows for name in row))
    markers = {"loss/": None, "val/": ".", "test/": "*"}
    for prefix, marker in markers.items():
        axes = loss_axes if prefix == "loss/" else score_axes
        for name in (name for name in names if name.startswith(prefix)):
            points = [(row["step"], row[name]) for row in rows if name in row]
            label = name if prefix == "test/" else name.removeprefix(prefix)
            depth = name.count("/")
            whole, of_class = depth == 1, depth == 2
            axes.plot(
                *zip(*points, strict=True),
                label=label,
                linewidth=2 if whole else 1.4 if of_class else 0.8,
                marker=marker,
                alpha=1 if whole else 0.7,
            )
        axes.set_xlabel("step")
        axes.grid(visible=True, alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="x-small")
    loss_axes.set_ylabel("loss")
    highest = max((v for row in rows for n, v in row.items() if n.startswith("val/")), default=1.0)
    score_axes.set(ylabel="validation score", ylim=(0, max(1.0, 1.05 * highest)))
    buffer = io.BytesIO()
    canvas.print_png(buffer)  # type: ignore[no-untyped-call]
    write_bytes(path, buffer.getvalue())
