"""``prepare modalities``: find the kinds of image in a manifest, so that rare ones are drawn more.

::

    manifest -io-> pixels -encoder-> embeddings -k-means-> clusters -io-> manifest, pictures
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from pancyte.data.modality import Clustering, Clusters, cluster_embeddings, order_by_typicality
from pancyte.data.record_files import read_pixels
from pancyte.data.records import Record, read_manifest, write_manifest
from pancyte.errors import InputError, UsageError, counted, listed
from pancyte.inference.embedding import embed_image
from pancyte.inference.model import Model
from pancyte.io.bitmaps import write_png
from pancyte.io.files import check_file, check_folder
from pancyte.io.images import SHEETS_SUFFIX
from pancyte.viz.contact_sheet import contact_sheet, thumbnail
from pancyte.workflows.models import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from pancyte.types import FloatArray

_LOGGER = logging.getLogger(__name__)

_PICTURES: Final = 24
_CLUSTER: Final = "cluster"


@dataclass(frozen=True, slots=True)
class ModalitiesReport:
    """What was found and written; its text is what the command prints."""

    manifest: Path
    records: tuple[Record, ...]
    """With the modality that was found."""
    sheets: tuple[Path, ...]
    """A picture of each cluster, the largest first."""
    wanted: int | None
    """Number of clusters that was asked for; None for ``auto``."""
    agreement: float | None
    """Adjusted Rand index with the modalities that the manifest had; None where it had none."""

    def __str__(self) -> str:
        sizes = Counter(record.modality for record in self.records)
        lines = [f"{counted(len(self.records), 'image')}: {counted(len(sizes), 'cluster')}"]
        lines += [f"  {name}: {sizes[name]}" for name in sorted(sizes)]
        if self.wanted is not None and len(sizes) < self.wanted:
            lines.append(
                f"fewer than the {self.wanted} asked for: there are not more different images"
            )
        if self.agreement is not None:
            lines.append(f"agreement with the modalities given: adjusted Rand {self.agreement:.2f}")
        return "\n".join(
            [*lines, f"pictures: {self.sheets[0].parent}", f"written: {self.manifest}"]
        )


def discover_modalities(
    manifest: Path,
    out: Path,
    *,
    model: Model | str | Path | None = None,
    clustering: Clustering | None = None,
    overwrite: bool = False,
    on_image: Callable[[int, int, str], None] | None = None,
) -> ModalitiesReport:
    """Cluster the images of a manifest and write one whose column ``modality`` names the clusters.

    Parameters
    ----------
    manifest
        Of images with or without labels.
    out
        The manifest to write (.csv), with all other columns as they were. A folder beside it,
        ``NAME.modalities``, gets a contact sheet of each cluster, its most typical images first.
    model
        Whose encoder compares the images: a model, a name or a folder; None is the bundled model.
    clustering
        How many clusters.
    overwrite
        Whether an existing manifest and existing sheets may be replaced.
    on_image
        Called with (number done, number of all, name) after each image.

    Returns
    -------
    ModalitiesReport
        What was found.

    Raises
    ------
    UsageError
        ``out`` is no .csv file or exists, the folder of the sheets holds something else, or the
        model has no encoder to compare images by.
    InputError
        An image cannot be read, or has more channels than the model takes.
    """
    clustering = Clustering() if clustering is None else clustering
    folder = out.with_name(out.stem + SHEETS_SUFFIX)
    _check_out(manifest, out, folder, overwrite=overwrite)
    records = read_manifest(manifest)
    # float32: the clusters must not depend on whether this machine is fast in another precision.
    loaded = model if isinstance(model, Model) else load(model, precision="float32")
    embeddings, pictures = _embed(loaded, records, on_image)
    clusters = cluster_embeddings(embeddings, clustering)
    names = _names(clusters)
    found = tuple(
        replace(record, modality=names[number])
        for record, number in zip(records, clusters, strict=True)
    )
    folder.mkdir(parents=True, exist_ok=True)
    for old in _sheets(folder):  # there may have been more clusters
        old.unlink()
    sheets = []
    for number, name in enumerate(names):
        places = order_by_typicality(embeddings, clusters, number)[:_PICTURES]
        sheets.append(folder / f"{name.replace(' ', '_')}.png")
        write_png(sheets[-1], contact_sheet([pictures[place] for place in places]))
    write_manifest(out, found)
    numbers = counted(len(found), "image"), counted(len(names), "cluster")
    _LOGGER.info("Wrote %s with %s in %s", out, *numbers)
    return ModalitiesReport(
        manifest=out,
        records=found,
        sheets=tuple(sheets),
        wanted=None if clustering.clusters == "auto" else clustering.clusters,
        agreement=_agreement(records, clusters),
    )


def _check_out(manifest: Path, out: Path, folder: Path, *, overwrite: bool) -> None:
    if out.suffix.lower() != ".csv":
        raise UsageError(f"{out}: expected a name ending in .csv for the manifest")
    if manifest.is_dir():
        msg = f"{manifest}: expected a manifest. Make one with: pancyte prepare {manifest} -o {out}"
        raise UsageError(msg)
    for path in (out, folder):
        if path.exists() and not overwrite:
            msg = f"{path}: is there already. Choose another name, or add --overwrite."
            raise UsageError(msg)
    check_file(out)
    check_folder(folder)
    others = sorted(set(folder.iterdir()) - set(_sheets(folder))) if folder.exists() else []
    if others:
        msg = (
            f"{folder}: expected nothing but the sheets of an earlier run, which are replaced, but "
            f"got {listed([path.name for path in others])}. Move that away, or choose another name."
        )
        raise UsageError(msg)


def _sheets(folder: Path) -> list[Path]:
    """Return the sheets of an earlier run."""
    return [path for path in folder.glob(f"{_CLUSTER}_*.png") if path.is_file()]


def _embed(
    model: Model, records: Sequence[Record], on_image: Callable[[int, int, str], None] | None
) -> tuple[FloatArray, list[npt.NDArray[np.uint8]]]:
    """Return embeddings (n, D) and a small picture of each image."""
    embeddings, pictures = [], []
    for number, record in enumerate(records, start=1):
        pixels = read_pixels(record)
        try:
            embeddings.append(embed_image(model, pixels))
        except ValueError as error:
            raise InputError(f"{record.image}: {error}") from error
        pictures.append(thumbnail(pixels))
        if on_image is not None:
            on_image(number, len(records), record.image.name)
    return np.stack(embeddings), pictures


def _names(clusters: Clusters) -> tuple[str, ...]:
    number = int(clusters.max()) + 1
    width = len(str(number))
    return tuple(f"{_CLUSTER} {k:0{width}d}" for k in range(1, number + 1))


def _agreement(records: Sequence[Record], clusters: Clusters) -> float | None:
    given = [record.modality for record in records]
    if not all(given):
        return None
    from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415

    return float(adjusted_rand_score(given, clusters))
