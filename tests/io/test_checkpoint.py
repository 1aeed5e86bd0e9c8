"""Model folders."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy

from pancyte.errors import CheckpointError
from pancyte.io.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

WEIGHTS = {
    "conv.weight": np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32),
    "norm.count": np.array(7, np.int64),
}


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(tmp_path / "model", Checkpoint({"classes": ["object"]}, WEIGHTS))
    return tmp_path / "model"


def test_load_checkpoint_returns_what_was_saved(folder):
    loaded = load_checkpoint(folder)
    assert loaded.manifest["classes"] == ["object"]
    assert loaded.weights.keys() == WEIGHTS.keys()
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(loaded.weights[name], array)
        assert loaded.weights[name].dtype == array.dtype


def test_save_checkpoint_can_store_half_and_loads_float32(folder):
    size = (folder / "weights.safetensors").stat().st_size
    save_checkpoint(folder, Checkpoint({}, WEIGHTS), half=True)
    assert (folder / "weights.safetensors").stat().st_size < size
    weights = load_checkpoint(folder).weights
    assert weights["conv.weight"].dtype == np.float32
    np.testing.assert_allclose(weights["conv.weight"], WEIGHTS["conv.weight"], rtol=1e-3)
    assert weights["norm.count"] == 7


def test_weights_beyond_half_keep_their_precision(tmp_path):
    weights = {"variance": np.array([67223.8, 1.1], np.float32), "w": np.ones(4, np.float32)}
    save_checkpoint(tmp_path, Checkpoint({}, weights), half=True)
    stored = safetensors.numpy.load_file(tmp_path / "weights.safetensors")
    assert (stored["variance"].dtype, stored["w"].dtype) == (np.float32, np.float16)
    loaded = load_checkpoint(tmp_path)
    assert loaded.manifest["weights_precision"] == "float16"
    np.testing.assert_array_equal(loaded.weights["variance"], weights["variance"])


def test_load_checkpoint_detects_every_changed_byte(folder):
    path = folder / "weights.safetensors"
    whole = path.read_bytes()
    for position in range(0, len(whole), 17):
        content = bytearray(whole)
        content[position] ^= 1
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"SHA-256 is .* but model\.toml expects"):
            load_checkpoint(folder)


def test_load_checkpoint_refuses_truncated_weights(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="Copy the folder again"):
        load_checkpoint(folder)


def test_load_checkpoint_refuses_weights_that_are_something_else(folder):
    from pancyte.io.files import sha256_file

    path, manifest = folder / "weights.safetensors", folder / "model.toml"
    before = sha256_file(path)
    path.write_bytes(b"not safetensors")
    manifest.write_text(manifest.read_text().replace(before, sha256_file(path)))
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_checkpoint(folder)


def test_load_checkpoint_names_a_missing_file(folder, tmp_path):
    (folder / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is missing beside model\.t"):
        load_checkpoint(folder)
    with pytest.raises(CheckpointError, match=r"holds no model\.toml. A model is a folder with"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"none: no such folder"):
        load_checkpoint(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("format_version = 99\nweights_sha256 = 'x'", "has format version 99, but this .* up to 1"),
        ("format_version = 0\nweights_sha256 = 'x'", "has format version 0, but the first is 1"),
        ("format_version = true\nweights_sha256 = 'x'", "is not the manifest of a pancyte model"),
        ("format_version = '1'\nweights_sha256 = 'x'", "is not the manifest of a pancyte model"),
        ("name = 'something else'", "is not the manifest of a pancyte model"),
        ("= 3", "cannot be read as TOML"),
    ],
)
def test_load_checkpoint_says_what_is_wrong_with_the_manifest(folder, text, match):
    (folder / "model.toml").write_text(text)
    with pytest.raises(CheckpointError, match=match):
        load_checkpoint(folder)


def test_arrays_beside_the_weights_keep_their_precision(tmp_path):
    extras = {"looks.mean": np.random.default_rng(1).random(5), "limit": np.array([np.inf])}
    save_checkpoint(tmp_path, Checkpoint({}, WEIGHTS, extras), half=True)
    loaded = load_checkpoint(tmp_path)
    assert loaded.weights.keys() == WEIGHTS.keys()
    assert loaded.extras.keys() == extras.keys()
    for name, array in extras.items():
        np.testing.assert_array_equal(loaded.extras[name], array)
        assert loaded.extras[name].dtype == array.dtype
    save_checkpoint(tmp_path, Checkpoint({}, WEIGHTS))
    assert load_checkpoint(tmp_path).extras == {}
