from __future__ import annotations

import sys

import numpy as np
from tests.scripts import load_script

import pancyte
from pancyte.io.checkpoint import load_checkpoint
from pancyte.workflows.models import list_models


def test_the_model_is_the_same_in_half_the_size_and_preprocesses_as_the_recipe(
    monkeypatch, tmp_path
) -> None:
    script = load_script("scripts/bundle_model.py")
    source = list_models()["generalist"]
    monkeypatch.setattr(sys, "argv", ["bundle_model.py", str(source), str(tmp_path / "out")])

    assert script.main() == 0

    before, after = load_checkpoint(source), load_checkpoint(tmp_path / "out")
    assert after.manifest["weights_precision"] == "float16"
    assert after.manifest["provenance"]["licence"] == "BSD-3-Clause"
    for name, array in before.weights.items():
        np.testing.assert_allclose(after.weights[name], array, rtol=1e-3, atol=1e-7)
    assert pancyte.load(tmp_path / "out").task.preprocessing.lone_channel == "gray"
