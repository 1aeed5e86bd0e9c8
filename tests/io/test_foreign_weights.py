from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from pancyte.errors import CheckpointError
from pancyte.io.foreign_weights import read_weights

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1, dtype=torch.int64)}


def assert_same(read: dict[str, torch.Tensor]) -> None:
    assert set(read) == set(WEIGHTS)
    for name, value in WEIGHTS.items():
        assert torch.equal(read[name], value)


def test_safetensors_are_read(tmp_path: Path) -> None:
    safetensors.torch.save_file(WEIGHTS, tmp_path / "a.safetensors")
    assert_same(read_weights(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("suffix", ["pth", "pt", "PTH"])
@pytest.mark.parametrize("inside", [None, "state_dict", "model_state_dict", "model"])
def test_state_dicts_are_read_wherever_they_lie(tmp_path: Path, suffix, inside) -> None:
    path = tmp_path / f"a.{suffix}"
    torch.save(WEIGHTS if inside is None else {"epoch": 3, inside: WEIGHTS}, path)
    assert_same(read_weights(path))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Malice:
        def __reduce__(self):
            return (Path.touch, (marker,))

    torch.save({"a": Malice()}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a.pth: holds more than tensors .* could run code"):
        read_weights(tmp_path / "a.pth")
    assert not marker.exists()


def test_files_that_are_no_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="none.pth: no such file or folder of weights"):
        read_weights(tmp_path / "none.pth")
    for name in ("a.pth", "b.pth", "c.safetensors"):
        (tmp_path / name).write_bytes(b"" if name == "b.pth" else b"nothing of the kind")
        with pytest.raises(CheckpointError, match=f"{name}: (cannot be read as|holds more than)"):
            read_weights(tmp_path / name)
    (tmp_path / "a.pth").unlink()
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    with pytest.raises(
        CheckpointError, match=r"expected names and tensors .* but got dict without"
    ):
        read_weights(tmp_path / "a.pth")
    torch.save(3, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="but got int without any"):
        read_weights(tmp_path / "a.pth")
