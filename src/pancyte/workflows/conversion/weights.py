"""The weights of Mediar-V and MEDIAR."""

from pathlib import Path


def convert_weights(source: Path, out: Path, *, classes: tuple[str, ...]) -> tuple[str, ...]:
    raise NotImplementedError
