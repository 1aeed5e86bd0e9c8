"""The picture of how far scores can be believed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from pancyte.io.files import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from pancyte.metrics.calibration import ReliabilityCurve


def draw_reliability(path: Path, curve: ReliabilityCurve, scores: npt.NDArray[np.float64]) -> None:
    """Draw the share of right objects over their score, and how many objects have which.

    Parameters
    ----------
    path
        The picture (PNG); replaced where it exists.
    curve
        Points with their 95 % intervals. No points give empty axes.
    scores
        (n,) for the histogram below.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - half a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(4.5, 5.5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    low, high = curve.interval
    upper.plot([0, 1], [0, 1], color="gray", linestyle=":", label="what scores promise")
    bars = np.maximum([curve.correct - low, high - curve.correct], 0)
    upper.errorbar(curve.score, curve.correct, yerr=bars, marker="o", capsize=2, label="what is")
    upper.set(ylabel="share of objects with IoU of at least 0.5", ylim=(0, 1.02), xlim=(0, 1))
    upper.set_title(f"expected calibration error {curve.error:.3f}", fontsize="medium")
    upper.legend(fontsize="small", loc="upper left")
    lower.hist(scores, bins=np.linspace(0, 1, 31))
    lower.set(xlabel="score", ylabel="objects")
    for axes in (upper, lower):
        axes.grid(visible=True, alpha=0.3)
    buffer = io.BytesIO()
    canvas.print_png(buffer)  # type: ignore[no-untyped-call]
    write_bytes(path, buffer.getvalue())
