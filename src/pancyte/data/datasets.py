"""Patches for training.

A patch depends on (seed, epoch, index) and on nothing else: not on the worker that makes it, nor on
what was made before. The geometry and the changes of objects and intensities come in as callables,
the encoding of labels with the task, so that this module knows neither augmentation nor networks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from pancyte.data.patches import (
    Beyond,
    LoadedRecord,
    cut_patch,
    load_record,
    place_window,
)
from pancyte.data.sampling import draws_per_epoch, epoch_draws, record_probabilities
from pancyte.errors import PancyteError
from pancyte.ops.warp import Matrix, Window
from pancyte.params import params
from pancyte.runtime import sample_generator
from pancyte.types import FloatArray, Sample

if TYPE_CHECKING:
    from pancyte.data.records import Record
    from pancyte.protocols import Task

DrawMatrix = Callable[[np.random.Generator], Matrix]
"""Draws the turn and scale of a window, as :func:`pancyte.augment.spatial.draw_matrix` does."""
ChangeSample = Callable[[Sample, np.random.Generator], Sample]
"""Returns a patch whose objects were changed, image and labels together, of the same size."""
ChangeIntensity = Callable[[FloatArray, np.random.Generator], FloatArray]
"""Returns a changed image, as :func:`pancyte.augment.intensity.augment_intensity` does."""


@params
class Sampling:
    """Which patches a training sees."""

    patch: int = 224
    """Side of a patch in pixels of the network's input."""
    balance: float = 1.0
    """0: images are drawn by their weights alone; 1: modalities equally often. Counts where
    ``order`` is ``random`` and ``amplify`` is none."""
    amplify: int | None = None
    """Draws of each modality in an epoch: those with fewer images repeat them until there are that
    many, the others show each image once. None repeats nothing."""
    order: Literal["random", "epoch"] = "random"
    """``random``: each patch is of an image drawn at random; ``epoch``: the images are gone through
    again and again, in an order drawn anew each time."""
    object_probability: float = 0.5
    """Share of patches about an object drawn at random; the others lie anywhere in the image."""
    beyond: Beyond = "mirror"
    """What lies beyond an image that is smaller than its patch: ``mirror`` continues it, without
    anything to learn there; ``zeros``, as in MEDIAR, puts it in the middle of a dark background."""
    cache_megabytes: int = 2000
    """Memory of each worker for images that it has read."""

    def __post_init__(self) -> None:
        if not 32 <= self.patch <= 4096:
            raise ValueError(f"Expected patch to lie in 32 to 4096 pixels, but got {self.patch}")
        if not 0.0 <= self.balance <= 1.0 or not 0.0 <= self.object_probability <= 1.0:
            msg = (
                "Expected balance and object_probability to lie in 0 to 1, "
                f"but got {self.balance} and {self.object_probability}"
            )
            raise ValueError(msg)
        if self.amplify is not None and self.amplify < 1:
            raise ValueError(f"Expected amplify of at least 1, but got {self.amplify}")
        if self.cache_megabytes < 0:
            raise ValueError(
                f"Expected cache_megabytes of 0 or more, but got {self.cache_megabytes}"
            )


Patch = dict[str, npt.NDArray[Any]]
"""``image`` (C, Y, X) float32 and the task's targets."""


class RecordCache:
    """The images that were read last, as many as fit; another process starts with none.

    Parameters
    ----------
    megabytes
        Memory for all of them; the last one is kept even if it is larger.
    """

    def __init__(self, megabytes: int) -> None:
        self.megabytes = megabytes
        self._records: OrderedDict[tuple[int, int], LoadedRecord] = OrderedDict()

    def __reduce__(self) -> tuple[type[RecordCache], tuple[int]]:
        """Return what another process needs: not the images that this one has read."""
        return RecordCache, (self.megabytes,)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._records)

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""
        return sum(loaded.nbytes for loaded in self._records.values())

    def get(self, key: tuple[int, int], load: Callable[[], LoadedRecord]) -> LoadedRecord:
        """Return the image of a key, which is loaded where it is not there."""
        if key in self._records:
            self._records.move_to_end(key)
            return self._records[key]
        self._records[key] = loaded = load()
        while self.nbytes > self.megabytes * 2**20 and len(self._records) > 1:
            self._records.popitem(last=False)
        return loaded

    def clear(self) -> None:
        """Forget all images."""
        self._records.clear()


class PatchDataset(Dataset[Patch | PancyteError]):
    """Augmented patches with encoded targets; an item is asked for by (epoch, index).

    Parameters
    ----------
    records
        What to draw from; all have labels.
    task
        Its classes, preprocessing and encoding.
    sampling
        Which patches to cut.
    draw_matrix, change_sample, change_intensity
        The augmentation, in this order; None leaves things as they are.
    seed
        Together with (epoch, index) it determines a patch.
    """

    def __init__(  # noqa: PLR0913 - one callable for each kind of change
        self,
        records: Sequence[Record],
        task: Task,
        *,
        sampling: Sampling,
        draw_matrix: DrawMatrix | None = None,
        change_sample: ChangeSample | None = None,
        change_intensity: ChangeIntensity | None = None,
        seed: int = 0,
    ) -> None:
        self.records = tuple(records)
        self.task = task
        self.sampling = sampling
        self.draw_matrix = draw_matrix
        self.change_sample = change_sample
        self.change_intensity = change_intensity
        self.seed = seed
        probabilities = record_probabilities(
            self.records, balance=sampling.balance, amplify=sampling.amplify
        )
        self._bounds = np.cumsum(probabilities)
        self._draws: tuple[int, npt.NDArray[np.intp]] = (-1, np.zeros(0, np.intp))
        self.cache = RecordCache(sampling.cache_megabytes)

    @property
    def draws_per_epoch(self) -> int:
        """Patches of one pass over the images, rare modalities amplified.

        With ``order="epoch"`` an index must be below it; the next patch is the first of the next
        epoch.
        """
        return draws_per_epoch(self.records, amplify=self.sampling.amplify)

    def __getitem__(self, key: tuple[int, int]) -> Patch | PancyteError:
        """Return a patch, or the error of a file that cannot be used.

        A loader that meets an exception in its worker makes another one of it, whose message is a
        traceback; an error that is returned arrives as it is.
        """
        try:
            return self.make_patch(key)
        except PancyteError as error:
            return error.with_traceback(None)

    def make_patch(self, key: tuple[int, int]) -> Patch:
        """Return the patch of (epoch, index).

        Raises
        ------
        InputError
            The image that was drawn, or its labels, cannot be used.
        """
        generator = sample_generator(self.seed, *key)
        loaded, window = self._draw(key, generator)
        sample = cut_patch(loaded, window, self.task.preprocessing, beyond=self.sampling.beyond)
        if self.change_sample is not None:
            sample = self.change_sample(sample, generator)
        image = sample.image
        if self.change_intensity is not None:
            image = self.change_intensity(image, generator)
        targets = self.task.encode(sample.labels, sample.valid)
        return {"image": np.ascontiguousarray(image), **targets}

    def object_diameters(
        self, num_samples: int = 256, *, draw_matrix: DrawMatrix | None = None
    ) -> npt.NDArray[np.float64]:
        """Return the diameters of objects, in pixels of the network's input, that training shows.

        Parameters
        ----------
        num_samples
            Number of patches whose images are looked at, the first ones of the training.
        draw_matrix
            Magnifies patches instead of that of the training, some of which may show objects only
            for their size; None is that of the training.

        Returns
        -------
        ndarray of shape (n,)
            Of all objects of their images at the scale of the patch; empty without objects.
        """
        diameters = []
        length = self.draws_per_epoch if self.sampling.order == "epoch" else num_samples
        for key in (divmod(index, length) for index in range(num_samples)):
            generator = sample_generator(self.seed, *key)
            loaded, window = self._draw(key, generator, draw_matrix)
            diameters.append(loaded.diameters / np.sqrt(abs(np.linalg.det(window.matrix))))
        # The workers read images for themselves; here they would only take memory.
        self.cache.clear()
        return np.concatenate(diameters)

    def _draw(
        self,
        key: tuple[int, int],
        generator: np.random.Generator,
        draw_matrix: DrawMatrix | None = None,
    ) -> tuple[LoadedRecord, Window]:
        loaded = self._load(self._place(key, generator))
        draw = draw_matrix or self.draw_matrix
        matrix = np.eye(2) if draw is None else draw(generator)
        window = place_window(
            loaded,
            matrix / loaded.magnification(self.task.preprocessing.diameter),
            self.sampling.patch,
            object_probability=self.sampling.object_probability,
            generator=generator,
            centered=self.sampling.beyond == "zeros",
        )
        return loaded, window

    def _place(self, key: tuple[int, int], generator: np.random.Generator) -> int:
        """Return the place of the record that a patch is cut out of."""
        if self.sampling.order == "random":
            # The last bound can be just below 1, and a draw above it.
            place = int(np.searchsorted(self._bounds, generator.random(), side="right"))
            return min(place, len(self.records) - 1)
        epoch, index = key
        if self._draws[0] != epoch:
            amplify = self.sampling.amplify
            draws = epoch_draws(self.records, amplify=amplify, seed=self.seed, epoch=epoch)
            self._draws = (epoch, draws)
        return int(self._draws[1][index])

    def _load(self, place: int) -> LoadedRecord:
        def load() -> LoadedRecord:
            return load_record(self.records[place], self.task.classes, self.task.preprocessing)

        return self.cache.get((id(self), place), load)


class ReplayedDataset(Dataset[Patch | PancyteError]):
    """A data set, and a second one of which some patches are replayed in every batch.

    A key is (0, epoch, index) for a patch of the first, (1, epoch, index) for one of the second.

    Parameters
    ----------
    main
        What is trained on; its patches are those that it gives without replay.
    replayed
        What is replayed, with its own sampling and augmentation.
    samples
        Patches of it in each batch.

    Notes
    -----
    The images of both share the memory that ``main`` may take.
    """

    def __init__(self, main: PatchDataset, replayed: PatchDataset, *, samples: int) -> None:
        self.main = main
        self.replayed = replayed
        replayed.cache = main.cache
        self.samples = samples

    def __getitem__(self, key: tuple[int, int, int]) -> Patch | PancyteError:
        """Return a patch, or the error of a file that cannot be used."""
        which, epoch, index = key
        return (self.replayed if which else self.main)[epoch, index]
