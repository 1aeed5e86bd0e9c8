import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch

from pancyte.errors import CheckpointError, UsageError
from pancyte.inference.tta import Predictor
from pancyte.io.checkpoint import load_checkpoint, save_checkpoint
from pancyte.nn.architectures import Compact
from pancyte.ops.flow import FlowDecoding
from pancyte.ops.preprocess import Preprocessing
from pancyte.tasks import FlowTask
from pancyte.workflows import models
from pancyte.workflows.models import list_models, load, save_model

TASK = FlowTask(
    classes=("cell", "nucleus"),
    decoding=FlowDecoding(min_size=40),
    architecture=Compact(decoder_channels=(8, 8, 8, 8, 8)),
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    network = TASK.network()
    provenance = {"diameters": [8.0, 30.0, 70.0], "seed": 3}
    save_model(folder, TASK, network, name="tiny", provenance=provenance)
    return folder, network


@pytest.fixture
def bundled(saved, tmp_path, monkeypatch):
    """Two bundled models, one of them the default."""
    _, network = saved
    for name in (models.DEFAULT_MODEL, "nuclei"):
        save_model(tmp_path / "models" / name, TASK, network, name=name, provenance={})
    monkeypatch.setattr(models, "files", lambda package: tmp_path)
    return tmp_path / "models"


def test_load_returns_what_was_saved(saved):
    folder, network = saved

    model = load(folder, device="cpu", precision="float32")

    assert model.task == TASK
    assert (model.name, model.classes) == ("tiny", ("cell", "nucleus"))
    assert model.trained_diameters == (8.0, 30.0, 70.0)
    assert not model.network.training
    tile = np.random.RandomState(0).uniform(size=(1, 3, 32, 64)).astype(np.float32)
    expected = Predictor(((TASK, network),)).predict(tile)
    found = Predictor(((TASK, model.network),)).predict(tile)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)


def test_saved_model_in_half_precision_is_smaller_and_close(saved, tmp_path):
    _, network = saved

    save_model(tmp_path / "half", TASK, network, name="half", provenance={}, half=True)

    full_size = (saved[0] / "weights.safetensors").stat().st_size
    assert (tmp_path / "half" / "weights.safetensors").stat().st_size < 0.6 * full_size
    weights = load(tmp_path / "half", device="cpu").network.state_dict()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-6)


def test_manifest_names_task_classes_and_provenance(saved):
    manifest = tomllib.loads((saved[0] / "model.toml").read_text())

    assert manifest["classes"] == ["cell", "nucleus"]
    assert manifest["task"]["kind"] == "flow"
    assert manifest["task"]["decoding"]["min_size"] == 40
    assert manifest["provenance"]["seed"] == 3


def test_the_manifest_is_read_without_building_the_network(saved, monkeypatch):
    expected = load(saved[0], device="cpu").manifest
    monkeypatch.setattr(FlowTask, "network", None)
    assert models.describe_model(saved[0]) == expected


def test_load_without_a_name_is_the_default_bundled_model(bundled):
    assert list(list_models()) == sorted([models.DEFAULT_MODEL, "nuclei"])
    assert load(device="cpu").name == models.DEFAULT_MODEL
    assert load("nuclei", device="cpu").name == "nuclei"


@pytest.mark.parametrize("name", ["nucleii", "Nuclei"])
def test_load_of_a_misspelled_name_is_an_error_and_never_the_default(bundled, name):
    with pytest.raises(UsageError, match=f"No model '{name}'.* Did you mean 'nuclei'.*Bundled"):
        load(name)


def test_load_of_a_missing_folder_lists_what_there_is(bundled, tmp_path):
    with pytest.raises(UsageError, match="neither a bundled model nor a model folder.*nuclei"):
        load(tmp_path / "nowhere")


def test_load_of_a_folder_without_a_model(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no model\.toml"):
        load(tmp_path)


def test_load_refuses_weights_of_another_task(saved, tmp_path):
    checkpoint = load_checkpoint(saved[0])
    manifest = {**checkpoint.manifest}
    manifest["task"] = {**manifest["task"], "classes": ["cell"]}
    save_checkpoint(tmp_path / "other", replace(checkpoint, manifest=manifest))

    with pytest.raises(CheckpointError, match=r"do not belong to the task: 2 of .* head\.bias"):
        load(tmp_path / "other")


def test_load_refuses_missing_and_foreign_weights(saved, tmp_path):
    checkpoint = load_checkpoint(saved[0])
    weights = {**checkpoint.weights, "stranger": np.zeros(3)}
    del weights["head.bias"]
    save_checkpoint(tmp_path / "other", replace(checkpoint, weights=weights))

    with pytest.raises(CheckpointError, match="2 of .* head.bias, expected .* found nothing"):
        load(tmp_path / "other")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (None, r"has no table \[task\]"),
        ({"kind": "boxes"}, "task: kind"),
        ({"kind": "flow", "classes": ["a"], "wings": 2}, "unknown key 'wings'.*another version"),
    ],
)
def test_load_refuses_a_task_it_does_not_know(saved, tmp_path, task, message):
    checkpoint = load_checkpoint(saved[0])
    manifest = {key: value for key, value in checkpoint.manifest.items() if key != "task"}
    if task is not None:
        manifest["task"] = task
    save_checkpoint(tmp_path / "other", replace(checkpoint, manifest=manifest))

    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "other")


def test_load_refuses_a_device_that_is_not_there(saved):
    with pytest.raises(UsageError, match="device"):
        load(saved[0], device="tpu:9")


def test_several_models_are_loaded_as_one(saved, tmp_path):
    folder, network = saved
    torch.manual_seed(1)
    other = TASK.network()
    save_model(tmp_path / "other", TASK, other, name="other", provenance={})

    both = load([folder, tmp_path / "other"], device="cpu", precision="float32")

    assert both.name == "tiny + other"
    assert [model.name for model in both.others] == ["other"]
    assert load([folder]).others == ()
    tile = np.random.RandomState(0).uniform(size=(1, 3, 32, 32)).astype(np.float32)
    one, two = (Predictor(((TASK, each),)).predict(tile) for each in (network, other))
    mean = both._predictor().predict(tile)
    np.testing.assert_allclose(mean.scalars, (one.scalars + two.scalars) / 2, atol=1e-5)
    np.testing.assert_allclose(mean.vectors, (one.vectors + two.vectors) / 2, atol=1e-5)


def test_several_models_of_one_own_network_keep_weights_apart(saved, tmp_path):
    folder, first = saved
    torch.manual_seed(1)
    second = TASK.network()
    save_model(tmp_path / "other", TASK, second, name="other", provenance={})
    own = TASK.network()

    both = load([folder, tmp_path / "other"], device="cpu", network=own)

    key = next(iter(dict(first.named_parameters())))
    for found, expected in ((both.network, first), (both.others[0].network, second)):
        assert torch.equal(found.state_dict()[key], expected.state_dict()[key])
    assert load(folder, device="cpu", network=own).network is own


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ("cell", "nuclei")}, "their classes differ, .*'nucleus'.* and .*'nuclei'"),
        ({"preprocessing": Preprocessing(diameter=20.0)}, "their preprocessing differ"),
        ({"field": "geodesic"}, "their field differ, diffusion and geodesic"),
    ],
)
def test_models_that_mean_different_things_do_not_predict_together(
    saved, tmp_path, change, message
):
    folder, _ = saved
    task = replace(TASK, **change)
    save_model(tmp_path / "other", task, task.network(), name="other", provenance={})

    with pytest.raises(UsageError, match=f"tiny and other cannot predict together: {message}"):
        load([folder, tmp_path / "other"], device="cpu")


def test_no_model_at_all_is_wrong_use():
    with pytest.raises(UsageError, match="at least one model to load, but got none"):
        load([])


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.1)])
def test_a_loaded_model_runs_a_faster_network_that_says_the_same(saved, precision, tolerance):
    model = load(saved[0], device="cpu", precision=precision)
    tile = np.random.RandomState(0).uniform(size=(1, 3, 32, 64)).astype(np.float32)

    assert model.fastest_network is not model.network
    expected, found = (
        Predictor(((TASK, network),), precision=precision).predict(tile)
        for network in (model.network, model.fastest_network)
    )

    np.testing.assert_allclose(found.scalars, expected.scalars, atol=tolerance)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=tolerance)
