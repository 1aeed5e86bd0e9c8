"""``Model``: a task, a trained network and where they come from; ``segment`` does the work.

::

    array or file -> Image -> View -> scale -> tiles -> maps -> Task.decode -> Segmentation
                              (normalized)     (blocks of a large image, joined)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pancyte.errors import UsageError
from pancyte.inference.blocks import Blocks
from pancyte.inference.inputs import check_memory, name_of, open_source
from pancyte.inference.passes import Passes, measured, with_measurements
from pancyte.inference.scale import Settled, limit_scale, limited_message, median_diameter
from pancyte.inference.tiles import Tiling
from pancyte.inference.trust import doubts, with_probabilities
from pancyte.inference.tta import Predictor
from pancyte.inference.view import view_image
from pancyte.ops.measure import measure_objects
from pancyte.ops.selection import keep_objects
from pancyte.ops.symmetry import Flips, choose_symmetries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from torch import nn

    from pancyte.inference.prepared import Prepared
    from pancyte.ops.calibration import Calibration
    from pancyte.ops.familiarity import Familiarity
    from pancyte.protocols import Task
    from pancyte.runtime import Precision
    from pancyte.types import Image, Segmentation

_NOTHING: Final = "No objects were found"
_CONSTANT: Final = (
    f"{_NOTHING}: all pixels of the image are equal. Check that it was saved as it should be."
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Model:
    """A trained network with the task that says how to use it. Calls leave it as it is."""

    task: Task
    """Classes, preprocessing and decoding."""
    network: nn.Module
    """On the device where it runs."""
    name: str = "model"
    """For messages and records of results."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """What is stored with the weights, such as ``provenance``."""
    precision: Precision = "float32"
    """What convolutions are computed in."""
    tiling: Tiling = field(default_factory=Tiling)
    """Size and overlap of the tiles that the network sees."""
    flips: Flips = 1
    """Flips and turns under which each tile is seen, whose maps are averaged: 1, 3, 4 or 8, or
    names; see :func:`pancyte.ops.symmetry.choose_symmetries`."""
    blocks: Blocks = field(default_factory=Blocks)
    """From which size on, and how, an image is decoded in blocks."""
    others: tuple[Model, ...] = ()
    """Further models of the same classes and preprocessing, whose maps are averaged with those of
    this one; objects are found as this one's task says."""
    prepared: Prepared | None = None
    """``network`` rewritten for speed, which is run for it until ``network`` or ``precision``
    change."""

    calibration: Calibration | None = None
    """How scores become probabilities; None leaves them as the task gives them."""
    familiarity: Familiarity | None = None
    """What the images of the training look like; None where that is not known."""

    def __post_init__(self) -> None:
        choose_symmetries(self.flips)

    def __repr__(self) -> str:
        # The network alone would fill two hundred lines.
        return f"Model({self.name!r}, classes={self.classes}, precision={self.precision!r})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the label planes."""
        return self.task.classes

    @property
    def trained_diameters(self) -> tuple[float, float, float] | None:
        """The 1st, 50th and 99th percentile of diameters in training, in the network's pixels."""
        values = self.manifest.get("provenance", {}).get("diameters")
        return tuple(values) if values and values[2] > 0 else None

    def segment(  # noqa: PLR0913 - one parameter for each thing that a file may not tell
        self,
        source: Path | str | npt.NDArray[Any] | Image,
        *,
        axes: str | None = None,
        channels: str | Sequence[int | str] | None = None,
        spacing: tuple[float, ...] | None = None,
        diameter: float | None = None,
        min_score: float | None = None,
        on_tile: Callable[[int, int], None] | None = None,
    ) -> Segmentation:
        """Find the objects in a 2D image.

        Parameters
        ----------
        source
            An image file, an array, or an :class:`~pancyte.types.Image`. An array of shape (Y, X)
            is gray; any other needs ``axes``. Integers, floats and booleans of any range.
        axes
            One letter for each axis, such as ``YXC`` or ``CYX``.
        channels
            Indices or names of the channels to use, such as ``"0,2"``; None uses all.
        spacing
            Micrometre per pixel along y and x; wins over the file's.
        diameter
            Typical diameter of the objects in pixels of the image; None estimates it.
        min_score
            Objects with a lower score are left out, 0 to 1; None is what the model's calibration
            says, which by default keeps all.
        on_tile
            Called with the number of finished tiles and that of all tiles, for each pass.

        Returns
        -------
        Segmentation
            Labels (K, Y, X) of the size of the image, ids 1..n in each class, each of them one
            connected component. Its table has the columns class, label and score, those of the
            task's ``decode``, and those of :func:`pancyte.ops.measure.measure_objects`,
            intensities measured in the pixels as they were given. Where the model has a
            calibration, a score is the probability that the object matches a true one at an IoU
            of at least 0.5. What the user should know is in ``warnings``.

        Raises
        ------
        UsageError
            An argument does not fit, the axes are not known, or the image is a stack.
        InputError
            The file cannot be read, or labels of its size do not fit in memory.

        Notes
        -----
        Without ``diameter`` a network that tells sizes is asked for them once or a few times, in
        samples of 1 megapixel; with any other the image is segmented at two or three scales, large
        images in samples of 4 megapixels. Of several models the first does that, without flips.
        Samples lie where the image varies most; where they show nothing, all of it is looked at.
        Objects of fewer than 5 pixels are sought only if ``diameter`` says so.
        Memory in bytes: 4 * K for the labels, twice that while the scale is sought in an image of
        at most 2^25 pixels and while objects are left out, and C to 4 * C for the pixels (8 bits
        take 1, 16 take 2, all else 4) for each pixel of the image; and for each pixel of the image
        (of a block of it, where it is decoded in blocks) about 12 * K for the maps and 30 for
        decoding; and what one to four tiles need. An image that is enlarged counts as the network
        sees it.
        """
        if min_score is not None and not 0 <= min_score <= 1:
            raise UsageError(f"Expected min_score to lie in 0 to 1, but got {min_score}.")
        image, notes = open_source(source, axes=axes, channels=channels, spacing=spacing)
        try:
            view = view_image(image.pixels, self.task.preprocessing)
        except ValueError as error:
            msg = (
                f"{name_of(source)}: {error}. Choose the ones to segment with channels "
                "(pancyte predict --channels 0,2)."
            )
            raise UsageError(msg) from error
        notes += view.notes()
        check_memory(view.shape, num_classes=len(self.classes), where=name_of(source))
        passes = Passes(
            self.task,
            self._predictor(),
            view,
            tiling=self.tiling,
            blocks=self.blocks,
            scout=self._scout(),
            large=None if self.trained_diameters is None else self.trained_diameters[2],
            on_tile=on_tile,
        )
        settled = self._settle(passes, diameter)
        found = self.task.relate(passes.segment(settled.scale))
        del passes  # it holds labels of earlier passes, as large as those that are wanted
        warnings = notes + settled.warnings + self._check_sizes(found, settled, diameter)
        table = measure_objects(found.labels, image.pixels, image.spacing)
        objects = with_probabilities(self, with_measurements(found, table), scale=settled.scale)
        least = self.least_score(min_score)
        warnings += doubts(self, objects, view, scale=settled.scale, min_score=least)
        found = replace(found, objects=objects, spacing=image.spacing, scale=settled.scale)
        kept = self._keep_sure(found, least)
        if not kept.objects.num_objects:
            warnings += self._say_nothing_found(found, least, diameter)
        if not found.objects.num_objects and view.is_constant:
            warnings = (*notes, _CONSTANT)
        return replace(kept, warnings=warnings)

    def _keep_sure(self, found: Segmentation, min_score: float) -> Segmentation:
        """Leave out objects of a low score, and number the others 1..n again."""
        keep = np.asarray(found.objects["score"] >= min_score, dtype=np.bool_)
        # A child whose parent goes is an orphan then.
        return found if keep.all() else self.task.relate(keep_objects(found, keep))

    def least_score(self, min_score: float | None) -> float:
        """Return below which score objects are left out where ``min_score`` is asked for."""
        if min_score is not None:
            return min_score
        return 0.0 if self.calibration is None else self.calibration.min_score

    @property
    def fastest_network(self) -> nn.Module:
        """What is run for ``network``."""
        faster = self.prepared
        if faster is not None and faster.stands_for(self.network, self.precision):
            return faster.network
        return self.network

    def _predictor(self) -> Predictor:
        members = tuple((model.task, model.fastest_network) for model in (self, *self.others))
        return Predictor(members, choose_symmetries(self.flips), self.precision)

    def _scout(self) -> Predictor | None:
        """Return what estimates the scale; None where that is what finds the objects."""
        alone = Predictor(((self.task, self.fastest_network),), precision=self.precision)
        is_plain = not self.others and choose_symmetries(self.flips) == alone.symmetries
        return None if is_plain else alone

    def _known_sizes(self) -> tuple[float, float] | None:
        """Return the least and largest diameter that all models were trained on, if any two are."""
        ranges = [model.trained_diameters for model in (self, *self.others)]
        known = [sizes for sizes in ranges if sizes is not None]
        if not known:
            return None
        least, largest = max(sizes[0] for sizes in known), min(sizes[2] for sizes in known)
        return (least, largest) if least <= largest else (known[0][0], known[0][2])

    def _settle(self, passes: Passes, diameter: float | None) -> Settled:
        target = self.task.preprocessing.diameter
        if diameter is None:
            return Settled(1.0, None) if target is None else passes.settle(target)
        if target is None:
            msg = (
                f"diameter {diameter}: the model {self.name} sees every image at its own scale, "
                "so that a diameter changes nothing. Leave it out."
            )
            raise UsageError(msg)
        if not 0 < diameter < np.inf:
            msg = f"Expected diameter to be a positive number of pixels, but got {diameter}"
            raise UsageError(msg)
        wanted = target / diameter
        scale = limit_scale(wanted, passes.view.shape)
        warnings: tuple[str, ...] = ()
        if not 0.99 < wanted / scale < 1.01:
            warnings = (limited_message(scale, wanted),)
        return Settled(scale, diameter, warnings)

    def _check_sizes(
        self, found: Segmentation, settled: Settled, diameter: float | None
    ) -> tuple[str, ...]:
        """Say where the objects are not of the size that was given, or that was trained on."""
        typical = median_diameter(measured(found))
        if typical is None:
            return ()
        scale, believed = settled.scale, settled.diameter
        warnings = []
        if diameter is None and believed is None and self.task.preprocessing.diameter is not None:
            warnings.append(
                "The size of the objects could not be estimated, since samples of the image showed "
                f"none. It was resized by {scale:.3g}; the result may be poor. Give the diameter "
                "in pixels."
            )
        if diameter is not None and not 0.5 <= typical / diameter <= 2.0:
            warnings.append(
                f"The objects found have a median diameter of {typical:.0f} pixels, but "
                f"{diameter:g} was given. Check the diameter, or leave it out to estimate it."
            )
        trained = self._known_sizes()
        if trained is not None and not trained[0] <= typical * scale <= trained[1]:
            used = "given" if diameter is not None else "estimated"
            warnings.append(
                f"The objects have a median diameter of {typical * scale:.0f} pixels as the "
                f"network sees them, outside of the {trained[0]:.0f} to {trained[1]:.0f} that it "
                f"was trained on. The image was resized by {scale:.3g}"
                + (f", for a diameter of {believed:.0f} pixels that was {used}" if believed else "")
                + ". The result may be poor; give the diameter in pixels."
            )
        return tuple(warnings)

    def _say_nothing_found(
        self, found: Segmentation, min_score: float, diameter: float | None
    ) -> tuple[str, ...]:
        """Say in one line why there is no object."""
        count = found.objects.num_objects
        if count:
            left_out = "The 1 object found was" if count == 1 else f"The {count} objects found were"
            return (f"{left_out} left out by min_score {min_score:g}; min_score 0 keeps all.",)
        advice = ""
        if diameter is not None:
            advice = f" Check the diameter, {diameter:g}, or leave it out."
        elif self.task.preprocessing.diameter is not None:
            advice = " If there are some, give their diameter in pixels."
        return (f"{_NOTHING}.{advice}",)
