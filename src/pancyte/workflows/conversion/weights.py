"""The weights of Mediar-V and MEDIAR as a model folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pancyte.errors import CheckpointError, listed
from pancyte.io.files import sha256_file
from pancyte.io.foreign_weights import read_weights
from pancyte.io.tables import write_csv
from pancyte.nn.published import (
    PublishedWeights,
    is_mediar,
    is_mediar_v,
    mediar_state,
    mediar_v_state,
)
from pancyte.nn.weights import load_matching
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks.flow import FlowTask
from pancyte.workflows.conversion.shared import PERCENTILES, class_names
from pancyte.workflows.models import save_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

REPORT: Final = "conversion.csv"
"""File in the model folder that says what became of each tensor."""


def convert_weights(source: Path, out: Path, *, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Write a model folder with published weights, and a table of what became of each tensor.

    Parameters
    ----------
    source
        A state dict of MEDIAR-Former or of Mediar-V.
    out
        Folder to write.
    classes
        Names of the classes; empty makes them up.

    Returns
    -------
    tuple of str
        What was done, in sentences.

    Raises
    ------
    CheckpointError
        The file cannot be read, or the weights are not those of either network.
    ConfigError
        Another number of class names than classes.
    """
    weights = read_weights(source)
    published, system = _published(weights, source)
    count = published.num_classes
    task = FlowTask(
        classes=tuple(class_names(classes, count, f"{source}: {count} classes")),
        architecture=published.architecture,
        loss="mediar",
        preprocessing=Preprocessing(
            channels=published.in_channels,
            diameter=None,
            percentiles=PERCENTILES,
            percentiles_of="nonzero",
        ),
    )
    network = task.network()
    report = load_matching(network, published.state)
    if report.lacking or report.skipped:
        msg = (
            f"{source}: {len(report.lacking)} tensors of {system} are missing, such as "
            f"{listed(report.lacking) or 'none'}, and {len(report.skipped)} have another shape, "
            f"such as {listed(report.skipped) or 'none'}. Give the whole state dict."
        )
        raise CheckpointError(msg)
    provenance = {
        "converted_from": source.name,
        "system": system,
        "sha256_of_source": sha256_file(source),
    }
    save_model(out, task, network, name=out.name, provenance=provenance)
    write_csv(
        out / REPORT,
        {
            "tensor": list(weights),
            "became": [published.names.get(name, "") for name in weights],
            "shape": ["x".join(map(str, value.shape)) for value in weights.values()],
        },
    )
    kinds = "class" if count == 1 else "classes"
    made = f"{system} with {count} {kinds} ({', '.join(task.classes)}), encoder "
    made += published.architecture.encoder
    tensors = f"{len(report.loaded)} tensors were loaded, {len(published.renamed)} under new names"
    skipped = listed(published.skipped) or "none"
    tensors += f"; {len(published.skipped)} were skipped: {skipped}"
    brighter = "Pixels brighter than the 99.5th percentile are kept here, where they were cut there"
    return made, tensors, brighter, f"What became of each tensor is in {out / REPORT}"


def _published(weights: Mapping[str, Tensor], source: Path) -> tuple[PublishedWeights, str]:
    try:
        if is_mediar(weights):
            return mediar_state(weights), "MEDIAR-Former"
        if is_mediar_v(weights):
            return mediar_v_state(weights), "Mediar-V"
    except ValueError as error:
        msg = f"{source}: {error}. Nothing was written."
        raise CheckpointError(msg) from error
    msg = (
        f"{source}: expected the weights of MEDIAR-Former (with cellprob_head) or of Mediar-V "
        f"(with logits_head), but found {listed(weights)}. An encoder alone needs no conversion: "
        "name the file as initialize in a configuration."
    )
    raise CheckpointError(msg)
