from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.scripts import load_script

import pancyte
from pancyte.config import to_mapping
from pancyte.io.checkpoint import load_checkpoint, save_checkpoint
from pancyte.nn.architectures import Compact
from pancyte.ops.calibration import Calibration
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks import FlowTask
from pancyte.workflows.models import CALIBRATION, save_model

script = load_script("scripts/bundle_model.py")


def trained(folder: Path, **preprocessing: object) -> Path:
    """Write a small model as a training leaves it: float32, calibrated, without a licence."""
    task = FlowTask(
        architecture=Compact(decoder_channels=(8,) * 5),
        preprocessing=Preprocessing(**preprocessing),
    )
    save_model(folder, task, task.network(), name="mine", provenance={"step": 3})
    found = load_checkpoint(folder)
    manifest = {
        **found.manifest,
        CALIBRATION: to_mapping(Calibration(intercept=0.5, weights={}, limits={})),
    }
    looks = {"familiarity/mean": np.zeros(3, np.float32)}
    save_checkpoint(folder, replace(found, manifest=manifest, extras=looks))
    return folder


def bundle(monkeypatch, source: Path, out: Path) -> int:
    monkeypatch.setattr(sys, "argv", ["bundle_model.py", str(source), str(out)])
    return script.main()


def test_the_model_is_the_same_in_half_the_size_and_preprocesses_as_the_recipe(
    monkeypatch, tmp_path
) -> None:
    source, out = trained(tmp_path / "best", lone_channel="keep"), tmp_path / "out"

    assert bundle(monkeypatch, source, out) == 0

    before, after = load_checkpoint(source), load_checkpoint(out)
    assert after.manifest["weights_precision"] == "float16"
    assert after.manifest["provenance"] == {"step": 3, "licence": "BSD-3-Clause"}
    assert before.weights.keys() == after.weights.keys()
    for name, array in before.weights.items():
        np.testing.assert_allclose(after.weights[name], array, rtol=1e-3, atol=1e-7)
    model = pancyte.load(out, device="cpu")
    assert model.name == "generalist"
    assert model.task.preprocessing.lone_channel == "gray"
    # Measured before the preprocessing was changed.
    assert model.calibration is None
    assert not after.extras


def test_a_checkpoint_of_another_preprocessing_is_refused(monkeypatch, tmp_path, capsys) -> None:
    source, out = trained(tmp_path / "best", diameter=17.0), tmp_path / "out"
    with pytest.raises(SystemExit) as caught:
        bundle(monkeypatch, source, out)
    assert caught.value.code == 2
    assert "best: was trained with another preprocessing than" in (said := capsys.readouterr().err)
    assert "diameter 17.0 instead of 30.0. Train it" in said
    assert not out.exists()
