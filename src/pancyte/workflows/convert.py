"""``convert``: bring configurations, lists of files and weights of other systems along.

What a file is, is told by what it holds, never by its name. Every key of a configuration is
accounted for: what it became, or why it has no equivalent.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import tomli_w

from pancyte.config import from_mapping
from pancyte.data.records import Record, write_manifest
from pancyte.errors import InputError, UsageError, counted, listed
from pancyte.io.files import check_file, check_folder, write_text
from pancyte.io.tables import read_json
from pancyte.workflows.conversion import mediar, mediar_v
from pancyte.workflows.conversion.weights import convert_weights
from pancyte.workflows.predict_config import PredictConfig
from pancyte.workflows.train_config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pancyte.workflows.conversion.ledger import Entry, Ledger

WEIGHTS_SUFFIXES: Final = (".pth", ".pt", ".ckpt", ".safetensors")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was converted; its text is what the command prints."""

    kind: str
    """What the source is, such as ``Mediar-V configuration for training``."""
    out: Path
    """What was written."""
    entries: tuple[Entry, ...] = ()
    """What became of each key of a configuration."""
    todo: tuple[str, ...] = ()
    """What to do before it can be used."""
    notes: tuple[str, ...] = ()
    """What else to know."""

    def __str__(self) -> str:
        lines = [f"{self.kind}: {self.out}"]
        kept = [entry for entry in self.entries if entry.target]
        dropped = [entry for entry in self.entries if not entry.target]
        if kept:
            lines += [f"{len(kept)} keys have an equivalent:", *_indented(kept)]
        if dropped:
            lines += [f"{len(dropped)} keys were dropped:", *_indented(dropped)]
        lines += self.notes
        if self.todo:
            folder = self.out.parent.as_posix()
            where = "" if folder == "." else f" (in the folder {folder}, where {self.out.name} is)"
            lines += [f"Before you use it{where}:", *_indented(self.todo)]
        return "\n".join(lines)


def convert(
    source: Path | str,
    out: Path | str,
    *,
    root: Path | str | None = None,
    classes: Sequence[str] = (),
    overwrite: bool = False,
) -> Conversion:
    """Convert one file of Mediar-V or MEDIAR.

    Parameters
    ----------
    source
        A configuration or a list of files (JSON), or weights (``.pth``).
    out
        What to write: a ``.toml`` for a configuration, a ``.csv`` for a list of files, a folder for
        weights.
    root
        Folder that the paths of a list of files start from; None is the folder of the list.
    classes
        Names of the classes, which none of these files has; empty makes them up.
    overwrite
        Whether a file that is there may be replaced.

    Returns
    -------
    Conversion
        What became of every key or tensor.

    Raises
    ------
    UsageError
        The file to write is there, or has the wrong ending.
    InputError
        The source cannot be read, or is of no known kind.
    ConfigError
        It has no equivalent, or contradicts itself; nothing is written.
    CheckpointError
        The weights are not those of a known network.
    """
    source, out = Path(source), Path(out)
    if out.exists() and not overwrite:
        msg = f"{out}: is there already. Choose another name, or add --overwrite."
        raise UsageError(msg)
    if not source.is_file():
        raise InputError(f"{source}: no such file to convert. Check the path.")
    names = tuple(classes)
    is_weights = source.suffix.lower() in WEIGHTS_SUFFIXES
    (check_folder if is_weights else check_file)(out)
    if source.suffix.lower() in WEIGHTS_SUFFIXES:
        notes = convert_weights(source, out, classes=names)
        return Conversion("weights, as a model folder", out, notes=notes)
    document = read_json(source)
    if not isinstance(document, dict):
        raise _unknown(source)
    if mediar_v.is_mediar_v(document):
        return _convert_mediar_v(source, document, out, names)
    if mediar.is_training(document):
        ledger = mediar.convert_training(document, classes=names)
        return _write_config(ledger, source, out, f"{mediar.SYSTEM} configuration for training")
    if mediar.is_prediction(document):
        ledger, words = mediar.convert_prediction(document)
        kind = f"{mediar.SYSTEM} configuration for prediction"
        return _write_settings(ledger, words, source, out, kind)
    if mediar.is_mapping(document):
        folder = source.parent if root is None else Path(root)
        return _write_mapping(document, folder, out)
    raise _unknown(source)


def _unknown(source: Path) -> InputError:
    return InputError(
        f"{source}: expected a configuration of Mediar-V or MEDIAR, a list of files, or weights "
        f"({', '.join(WEIGHTS_SUFFIXES)}), but it is none of them. Nothing else is converted."
    )


def _convert_mediar_v(
    source: Path, document: Mapping[str, Any], out: Path, classes: tuple[str, ...]
) -> Conversion:
    manifest = out.with_suffix(".csv").name
    kind = f"{mediar_v.SYSTEM} configuration"
    if mediar_v.is_training(document):
        ledger = mediar_v.convert_training(document, classes=classes, manifest=manifest)
        return _write_config(ledger, source, out, f"{kind} for training")
    ledger, words = mediar_v.convert_prediction(document, manifest=manifest)
    return _write_settings(ledger, words, source, out, f"{kind} for prediction")


def _write_config(ledger: Ledger, source: Path, out: Path, kind: str) -> Conversion:
    _check_suffix(out, ".toml", kind)
    from_mapping(TrainConfig, ledger.settings, where=f"{source}, converted")
    first = f"Converted from {source.name}, a {kind}. Paths are relative to this file."
    return _write(ledger, out, kind, comments=(first,))


def _write_settings(
    ledger: Ledger, words: Sequence[str], source: Path, out: Path, kind: str
) -> Conversion:
    _check_suffix(out, ".toml", kind)
    from_mapping(PredictConfig, ledger.settings, where=f"{source}, converted")
    command = shlex.join(["pancyte", "predict", *words, "--set", out.name])
    first = f"Converted from {source.name}, a {kind}."
    return _write(ledger, out, kind, comments=(first, command), notes=(f"Command: {command}",))


def _write(
    ledger: Ledger,
    out: Path,
    kind: str,
    *,
    comments: tuple[str, ...],
    notes: tuple[str, ...] = (),
) -> Conversion:
    dropped = [str(entry) for entry in ledger.entries if not entry.target]
    lines = [*comments, *ledger.todo]
    if dropped:
        lines += ["", "Has no equivalent:", *dropped]
    text = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    write_text(out, f"{text}\n{tomli_w.dumps(ledger.settings)}")
    return Conversion(kind, out, tuple(ledger.entries), tuple(ledger.todo), notes)


def _write_mapping(document: Mapping[str, Any], root: Path, out: Path) -> Conversion:
    kind = f"{mediar.SYSTEM} list of files"
    _check_suffix(out, ".csv", kind)
    records = [
        Record(
            image=root / row["img"],
            labels=root / row["label"] if row.get("label") else None,
            source=name,
        )
        for name, rows in document.items()
        for row in rows
    ]
    named = [file for r in records for file in (r.image, r.labels) if file is not None]
    missing = [file for file in named if not file.is_file()]
    if missing:
        msg = (
            f"{len(missing)} of {len(named)} files of the list do not exist below {root}, such as "
            f"{listed(missing)}. Correct the list, or the folder given as --root."
        )
        raise InputError(msg)
    write_manifest(out, records)
    lists = ", ".join(f"{len(rows)} {name}" for name, rows in document.items())
    return Conversion(kind, out, notes=(f"{counted(len(records), 'image')}: {lists}",))


def _check_suffix(out: Path, suffix: str, kind: str) -> None:
    if out.suffix.lower() != suffix:
        msg = f"{out}: expected a name that ends in {suffix} for a {kind}, but got {out.name!r}."
        raise UsageError(msg)


def _indented(items: Sequence[object]) -> list[str]:
    return [f"  {item}" for item in items]
