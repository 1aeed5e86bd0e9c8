"""``convert``: every key of the published configurations has an equivalent or a reason."""

from __future__ import annotations

import copy
import json
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from pancyte.cli.exits import run
from pancyte.config import read_config
from pancyte.data.records import read_manifest
from pancyte.errors import CheckpointError, ConfigError, InputError, UsageError
from pancyte.io.tables import read_csv, read_json
from pancyte.nn.architectures import MEDIAR_FORMER, MEDIAR_V, build_network
from pancyte.workflows.convert import convert
from pancyte.workflows.models import load
from pancyte.workflows.predict_config import PredictConfig
from pancyte.workflows.train_config import read_train_config

# Every key that Mediar-V knows, with a value that is not its default where that can be.
MEDIAR_V_TRAIN = {
    "model": {
        "name": "MediarV",
        "params": {
            "encoder_name": "mit_b5",
            "encoder_weights": "imagenet",
            "decoder_channels": [1024, 512, 256, 128, 64],
            "decoder_pab_channels": 256,
            "in_channels": 3,
            "out_classes": 2,
            "prefer_gn": True,
            "upsample": 1,
            "zero_init_heads": True,
        },
    },
    "dataset_config": {
        "is_training": True,
        "common": {
            "seed": 3,
            "device": "cuda:0",
            "use_amp": False,
            "roi_size": 1024,
            "iou_threshold": 0.6,
            "gradient_flow": {
                "prob_threshold": 0.45,
                "flow_threshold": 0.5,
                "num_iters": 300,
                "min_object_size": 20,
            },
            "remove_boundary_objects": True,
            "masks_subdir": "cAB",
            "predictions_dir": "results",
            "pretrained_weights": "weights/from_phase1.pth",
        },
        "training": {
            "is_split": False,
            "pre_split": {"train_dir": ".", "valid_dir": "", "test_dir": ""},
            "split": {"all_data_dir": "cyto nuke"},
            "train_size": 0.69,
            "valid_size": 8,
            "test_size": 0.21,
            "train_offset": 1,
            "valid_offset": 0,
            "test_offset": 2,
            "shuffle": True,
            "batch_size": 3,
            "num_epochs": 250,
            "val_freq": 5,
        },
    },
    "criterion": {
        "name": "BCE_MSE_Loss",
        "params": {
            "num_classes": 2,
            "bce_params": {
                "with_logits": True,
                "weight": None,
                "reduction": "mean",
                "pos_weight": [2.0, 1.0],
            },
            "mse_params": {"reduction": "mean"},
        },
    },
    "optimizer": {
        "name": "AdamW",
        "params": {
            "lr": 5e-5,
            "betas": [0.9, 0.99],
            "eps": 1e-7,
            "weight_decay": 0.02,
            "amsgrad": True,
        },
    },
    "scheduler": {"name": "CosineAnnealing", "params": {"T_max": 25, "eta_min": 1e-7}},
    "wandb": {
        "use_wandb": True,
        "project": "cells",
        "group": None,
        "entity": "lab",
        "name": "first",
        "id": None,
        "tags": ["a", "b"],
        "notes": "a note",
        "save_code": False,
    },
}
MEDIAR_V_PREDICT = {
    "model": MEDIAR_V_TRAIN["model"],
    "dataset_config": {
        "is_training": False,
        "common": {**MEDIAR_V_TRAIN["dataset_config"]["common"], "predictions_dir": "my results"},
        "testing": {"test_dir": "data", "test_size": 1.0, "test_offset": 0, "shuffle": True},
    },
    "wandb": {"use_wandb": False},
}
MEDIAR_TRAIN = {
    "data_setups": {
        "labeled": {
            "root": "data",
            "mapping_file": "lists/mapping_labeled.json",
            "mapping_file_tuning": "lists/mapping_tuning.json",
            "join_mapping_file": "lists/mapping_public.json",
            "amplified": True,
            "relabel": False,
            "batch_size": 8,
            "valid_portion": 0.1,
        },
        "public": {
            "enabled": True,
            "params": {
                "root": "public",
                "mapping_file": "lists/replayed.json",
                "batch_size": 2,
                "valid_portion": 0,
            },
        },
        "unlabeled": {"enabled": False},
    },
    "train_setups": {
        "model": {
            "name": "mediar-former",
            "params": {
                "encoder_name": "mit_b5",
                "encoder_weights": "imagenet",
                "decoder_channels": [1024, 512, 256, 128, 64],
                "decoder_pab_channels": 256,
                "in_channels": 3,
                "classes": 3,
            },
            "pretrained": {"enabled": True, "weights": "weights/phase2.pth", "strict": False},
        },
        "trainer": {
            "name": "mediar",
            "params": {
                "num_epochs": 50,
                "valid_frequency": 10,
                "device": "cuda:7",
                "amp": True,
                "algo_params": {"with_public": True},
            },
        },
        "optimizer": {"name": "adamw", "params": {"lr": 2e-5}, "ft_rate": 1.0},
        "scheduler": {
            "enabled": True,
            "name": "cosine",
            "params": {"T_max": 100, "eta_min": 1e-7},
        },
        "seed": 19940817,
    },
    "pred_setups": {"name": "medair", "output_path": "results"},
    "wandb_setups": {"project": "neurips", "group": "fine-tuning", "name": "2"},
}
MEDIAR_PREDICT = {
    "pred_setups": {
        "name": "ensemble_mediar",
        "input_path": "images",
        "output_path": "results",
        "make_submission": True,
        "exp_name": "best",
        "device": "cpu",
        "model_path1": "a.pth",
        "model_path2": "b.pth",
        "model": {"name": "mediar-former", "params": {}},
        "algo_params": {"use_tta": True},
    }
}


@pytest.fixture
def write(tmp_path):
    """Write a JSON file and return its path."""

    def write_json(document, name="config.json"):
        path = tmp_path / name
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    return write_json


def changed(document, key, value):
    """Return a copy with the value at a dotted key replaced."""
    result = copy.deepcopy(document)
    *parents, last = key.split(".")
    place = result
    for name in parents:
        place = place[name]
    place[last] = value
    return result


def leaves(document, prefix=""):
    for name, value in document.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize(
    ("document", "suffix"),
    [
        (MEDIAR_V_TRAIN, ".toml"),
        (MEDIAR_V_PREDICT, ".toml"),
        (MEDIAR_TRAIN, ".toml"),
        (MEDIAR_PREDICT, ".toml"),
    ],
)
def test_every_known_key_is_accounted_for(write, tmp_path, document, suffix):
    result = convert(write(document), tmp_path / f"out{suffix}")
    known = [entry.key for entry in result.entries]
    assert not [entry for entry in result.entries if "no such key" in entry.note]
    for leaf in leaves(document):
        assert any(leaf == key or leaf.startswith(f"{key}.") for key in known), leaf
    for entry in result.entries:
        assert entry.target or entry.note, entry


@pytest.mark.parametrize(
    "document", [MEDIAR_V_TRAIN, MEDIAR_V_PREDICT, MEDIAR_TRAIN, MEDIAR_PREDICT]
)
def test_what_a_key_became_stands_in_the_file(write, tmp_path, document):
    out = tmp_path / "out.toml"
    result = convert(write(document), out)
    settings = tomllib.loads(out.read_text())
    words = ("evaluate", "prepare", "pancyte", "convert", "SOURCE", "-o")
    for entry in result.entries:
        if entry.target and not entry.target.startswith(words):
            place = settings
            for name in entry.target.split("."):
                if isinstance(place, list):  # data sets
                    place = place[0]
                assert name in place, entry
                place = place[name]


def test_an_unknown_key_is_named(write, tmp_path):
    document = changed(MEDIAR_V_TRAIN, "dataset_config.common.roi", 7)
    text = str(convert(write(document), tmp_path / "out.toml"))
    assert "dataset_config.common.roi = 7 dropped (Mediar-V has no such key)" in text


def test_mediar_v_training(write, tmp_path):
    out = tmp_path / "out.toml"
    result = convert(write(MEDIAR_V_TRAIN), out, classes=["nucleus", "cell"])
    config = read_train_config(out)
    assert config.task.classes == ("nucleus", "cell")
    assert config.task.loss == "mediar"
    assert config.task.pos_weights == {"nucleus": 2.0, "cell": 1.0}
    assert config.task.architecture.head_groups == MEDIAR_V.head_groups
    assert config.task.architecture.zero_init_heads
    assert config.task.decoding.foreground_threshold == 0.45
    assert config.task.decoding.max_iterations == 300
    assert config.task.preprocessing.diameter is None
    assert config.sampling.patch == 1024
    assert (config.batch, config.epochs, config.epoch_steps) == (3, 250, None)
    assert config.validation.every == 5
    assert config.precision == "float32"
    assert (config.optimization.learning_rate, config.optimization.betas) == (5e-5, (0.9, 0.99))
    assert (config.optimization.period, config.optimization.final_fraction) == (25, 0.002)
    assert config.initialize == tmp_path / "weights" / "from_phase1"
    assert config.data[0].path == tmp_path / "out.csv"
    assert config.wandb.project == "cells"
    assert config.wandb.tags == ("a", "b")
    assert not config.wandb.save_code
    assert "the last epoch trains at the highest rate" in str(result)
    assert any("pancyte convert weights/from_phase1.pth" in line for line in result.todo)
    assert "# Has no equivalent:" in out.read_text()


def test_the_command_that_makes_the_manifest_runs(write, tmp_path, monkeypatch):
    for name in "abcdefghij":
        for folder in ("images", "masks/cAB"):
            path = tmp_path / "cyto nuke" / folder / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, np.eye(40, dtype=np.uint8))
    document = changed(MEDIAR_V_TRAIN, "dataset_config.training.valid_size", 2)
    document = changed(document, "dataset_config.training.train_size", 0.3)
    result = convert(write(document), tmp_path / "out.toml")
    command = next(line for line in result.todo if "pancyte prepare" in line).partition(": ")[2]
    monkeypatch.chdir(tmp_path)
    assert run(shlex.split(command)[1:]) == 0
    splits = [record.split for record in read_manifest(tmp_path / "out.csv")]
    assert [splits.count(name) for name in ("train", "val", "test")] == [3, 2, 2]


def test_folders_that_are_split_become_data_sets(write, tmp_path):
    document = changed(MEDIAR_V_TRAIN, "dataset_config.training.is_split", True)
    folders = {"train_dir": "a", "valid_dir": "b", "test_dir": ""}
    document = changed(document, "dataset_config.training.pre_split", folders)
    out = tmp_path / "out.toml"
    convert(write(document), out)
    sources = read_train_config(out).data
    assert [(source.path.name, source.split) for source in sources] == [
        ("a", "train"),
        ("b", "val"),
    ]
    assert {source.masks_subdir for source in sources} == {"cAB"}


@pytest.mark.parametrize(
    ("key", "value", "setting", "expected"),
    [
        ("dataset_config.common.gradient_flow.flow_threshold", 0, "flow_threshold", None),
        ("dataset_config.common.gradient_flow.num_iters", 200, "max_iterations", None),
    ],
)
def test_defects_are_not_carried_along(write, tmp_path, key, value, setting, expected):
    out = tmp_path / "out.toml"
    convert(write(changed(MEDIAR_V_TRAIN, key, value)), out)
    assert getattr(read_train_config(out).task.decoding, setting) == expected


@pytest.mark.parametrize(
    ("optimizer", "scheduler"),
    [
        (
            {
                "name": "SGD",
                "params": {"lr": 0.1, "momentum": 0.9, "dampening": 0, "nesterov": True},
            },
            {"name": "Step", "params": {"step_size": 30, "gamma": 0.1, "last_epoch": -1}},
        ),
        (
            {"name": "Adam", "params": {"lr": 0.1}},
            {"name": "MultiStep", "params": {"milestones": [30, 80], "gamma": 0.1}},
        ),
        ({"name": "adam", "params": {}}, {"name": "Exponential", "params": {"gamma": 0.95}}),
        ({"name": "AdamW", "params": {}}, None),
    ],
)
def test_optimizers_and_schedules(write, tmp_path, optimizer, scheduler):
    document = {**MEDIAR_V_TRAIN, "optimizer": optimizer, "scheduler": scheduler}
    out = tmp_path / "out.toml"
    result = convert(write(document), out)
    assert not [entry for entry in result.entries if "no such key" in entry.note]
    settings = read_train_config(out).optimization
    assert settings.optimizer == optimizer["name"].lower()
    assert settings.schedule == ("constant" if scheduler is None else scheduler["name"].lower())
    assert settings.per_epoch
    assert settings.average_decay is None


def test_mediar_v_prediction(write, tmp_path):
    out = tmp_path / "predict.toml"
    result = convert(write(MEDIAR_V_PREDICT), out)
    config = read_config(out, PredictConfig)
    assert config.model == "weights/from_phase1"
    assert config.decoding == {
        "foreground_threshold": 0.45, "flow_threshold": 0.5, "max_iterations": 300, "min_size": 20,
    }  # fmt: skip
    assert (config.tiling.tile, config.tiling.overlap) == (1024, 512)
    assert config.precision == "float32"
    command = result.notes[0].removeprefix("Command: ")
    assert command == "pancyte predict data/images -o 'my results' --set predict.toml"
    assert command in out.read_text()


def test_the_command_of_a_prediction_runs(write, tmp_path, monkeypatch):
    document = changed(MEDIAR_V_PREDICT, "dataset_config.common.pretrained_weights", "")
    document = changed(document, "dataset_config.common.roi_size", 512)
    image = tmp_path / "data" / "images" / "a.tif"
    image.parent.mkdir(parents=True)
    tifffile.imwrite(image, np.zeros((40, 40), np.uint8))
    result = convert(write(document), tmp_path / "predict.toml")
    monkeypatch.chdir(tmp_path)
    assert run(shlex.split(result.notes[0].removeprefix("Command: "))[1:]) == 0
    settings = read_json(tmp_path / "my results" / "run.json")["settings"]
    assert settings["decoding"]["min_size"] == 20


def test_a_part_of_the_test_images_is_a_split_of_a_manifest(write, tmp_path):
    document = changed(MEDIAR_V_PREDICT, "dataset_config.testing.test_size", 0.21)
    document = changed(document, "dataset_config.testing.test_offset", 0.79)
    out = tmp_path / "predict.toml"
    result = convert(write(document), out)
    assert "pancyte predict predict.csv -o 'my results'" in result.notes[0]
    assert read_config(out, PredictConfig).split == "test"
    assert "layout.test_offset=0.79" in result.todo[-1]


def test_mediar_training(write, tmp_path):
    out = tmp_path / "out.toml"
    result = convert(write(MEDIAR_TRAIN), out)
    config = read_train_config(out)
    assert config.task.architecture.head_order == MEDIAR_FORMER.head_order
    assert config.task.architecture.head_norm == "batch"
    assert config.sampling.amplify == 50
    assert config.sampling.patch == 512
    assert [source.path.name for source in config.data] == [
        "mapping_labeled.csv", "mapping_public.csv",
    ]  # fmt: skip
    assert config.replay.samples == 2
    assert config.replay.data[0].path.name == "replayed.csv"
    assert config.seed == 19940817
    assert (config.epochs, config.validation.every) == (50, 10)
    assert config.optimization.period == 100
    assert config.initialize == tmp_path / "weights" / "phase2"
    assert config.wandb.project == "neurips"
    assert sum("convert" in line for line in result.todo) == 4


def test_mediar_prediction_is_an_ensemble_with_flips(write, tmp_path):
    out = tmp_path / "predict.toml"
    result = convert(write(MEDIAR_PREDICT), out)
    config = read_config(out, PredictConfig)
    assert config.model == ("a", "b")
    assert config.flips == 3
    assert config.device == "cpu"
    assert result.notes == ("Command: pancyte predict images -o results --set predict.toml",)


@pytest.mark.parametrize("name", ["swinunetr", "UNETR", "unet"])
def test_the_baseline_has_no_equivalent(write, tmp_path, name):
    document = changed(MEDIAR_TRAIN, "train_setups.model.name", name)
    with pytest.raises(ConfigError, match="has no equivalent in pancyte, and nothing was written"):
        convert(write(document), tmp_path / "out.toml")
    assert not (tmp_path / "out.toml").exists()


def test_a_list_of_files_becomes_a_manifest(write, tmp_path):
    rows = []
    for name in "ab":
        for folder in ("images", "labels"):
            path = tmp_path / "data" / folder / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        rows.append({"img": f"images/{name}.tif", "label": f"labels/{name}.tif"})
    source = write({"official": rows[:1], "public": [{"img": rows[1]["img"]}]})
    out = tmp_path / "list.csv"
    result = convert(source, out, root=tmp_path / "data")
    first, second = read_manifest(out)
    assert (first.labels.name, first.source) == ("a.tif", "official")
    assert (second.labels, second.source) == (None, "public")
    assert "2 images: 1 official, 1 public" in str(result)
    with pytest.raises(InputError, match=r"3 of 3 files of the list do not exist below .*--root"):
        convert(source, tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("criterion.params.num_classes", 3, "out_classes is 2, but criterion.params.num_classes"),
        ("optimizer.name", "Lion", r"optimizer.name: expected one of sgd, adam, adamw, but got"),
        ("scheduler.name", "Plateau", "expected a schedule such as cosine"),
        ("criterion.name", "Tversky", "criterion.name: expected one of"),
        ("model.name", "UNet", "model.name: expected MediarV, but got 'UNet'"),
        ("scheduler.params.T_max", 0, "expected T_max above 0 and eta_min from 0"),
        ("scheduler.params.eta_min", 1.0, "expected T_max above 0 and eta_min from 0"),
        (
            "criterion.params.bce_params.pos_weight",
            [1.0, 2.0, 3.0],
            "pos_weight: expected 2 values, one for each class",
        ),
    ],
)
def test_values_that_nothing_means_are_refused(write, tmp_path, key, value, message):
    with pytest.raises(ConfigError, match=message):
        convert(write(changed(MEDIAR_V_TRAIN, key, value)), tmp_path / "out.toml")


def test_another_network_of_mediar_is_refused(write, tmp_path):
    document = changed(MEDIAR_TRAIN, "train_setups.model.name", "resnet")
    with pytest.raises(ConfigError, match="expected mediar-former, but got 'resnet'"):
        convert(write(document), tmp_path / "out.toml")


def test_the_number_of_class_names_must_fit(write, tmp_path):
    with pytest.raises(ConfigError, match="expected 2 names of classes, but got 1"):
        convert(write(MEDIAR_V_TRAIN), tmp_path / "out.toml", classes=["cell"])


@pytest.mark.parametrize("document", [[], {}, {"a": 1}, {"official": [{"label": "a"}]}])
def test_other_files_are_refused(write, tmp_path, document):
    with pytest.raises(InputError, match="but it is none of them"):
        convert(write(document), tmp_path / "out.toml")


def test_nothing_is_overwritten_and_endings_are_checked(write, tmp_path):
    source = write(MEDIAR_V_TRAIN)
    (tmp_path / "there.toml").write_text("mine")
    with pytest.raises(UsageError, match=r"there.toml: is there already"):
        convert(source, tmp_path / "there.toml")
    assert (tmp_path / "there.toml").read_text() == "mine"
    convert(source, tmp_path / "there.toml", overwrite=True)
    with pytest.raises(UsageError, match=r"expected a name that ends in .toml"):
        convert(source, tmp_path / "out.json")
    with pytest.raises(InputError, match="no such file to convert"):
        convert(tmp_path / "nowhere.json", tmp_path / "out.toml")


def published_weights(num_classes, *, system):
    """A state dict of published names and shapes, with a tiny encoder and decoder."""
    architecture = replace(
        MEDIAR_FORMER if system == "mediar" else MEDIAR_V,
        encoder="mit_b0",
        decoder_channels=(16, 16, 8, 8, 64),
        attention_channels=8,
    )
    network = build_network(architecture, num_classes=num_classes, in_channels=3)
    first, norm, last = ("0", "2", "3") if system == "mediar" else ("0", "1", "3")
    heads = {"conv1": first, "norm": norm, "conv2": last}
    names = {
        "foreground_head": "cellprob_head" if system == "mediar" else "logits_head",
        "flow_head": "gradflow_head",
    }
    weights = {}
    for name, value in network.state_dict().items():
        head, _, rest = name.partition(".")
        if head in names:
            role, _, kind = rest.partition(".")
            weights[f"{names[head]}.{heads[role]}.{kind}"] = value
        else:
            weights[name] = value
    weights["segmentation_head.0.weight"] = torch.zeros(3, 64, 3, 3)
    return network, weights


@pytest.mark.parametrize(("system", "num_classes"), [("mediar", 1), ("mediar_v", 3)])
def test_weights_become_a_model_of_the_same_answers(tmp_path, system, num_classes):
    network, weights = published_weights(num_classes, system=system)
    torch.save({"state_dict": weights}, tmp_path / "from_phase1.pth")
    result = convert(tmp_path / "from_phase1.pth", tmp_path / "model")
    model = load(tmp_path / "model", device="cpu")
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        ours, theirs = model.network(images), network.eval()(images)
    assert torch.allclose(ours["foreground"], theirs["foreground"], atol=1e-4)
    assert torch.allclose(ours["flow"], theirs["flow"], atol=1e-4)
    assert len(model.classes) == num_classes
    table = read_csv(tmp_path / "model" / "conversion.csv")
    assert len(table["tensor"]) == len(weights)
    assert table["became"].count("") == 1
    assert "1 were skipped: segmentation_head.0.weight" in str(result)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="expected the weights of MEDIAR-Former"):
        convert(tmp_path / "other.pth", tmp_path / "model")
    _, weights = published_weights(1, system="mediar")
    del weights["encoder.norm4.weight"]
    torch.save(weights, tmp_path / "part.pth")
    with pytest.raises(CheckpointError, match=r"1 tensors of MEDIAR-Former are missing, such as"):
        convert(tmp_path / "part.pth", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_command_prints_what_became_of_the_keys(write, tmp_path, capsys):
    arguments = ["convert", str(write(MEDIAR_V_TRAIN)), "-o", str(tmp_path / "a.toml")]
    assert run([*arguments, "--classes", "nucleus, cell"]) == 0
    printed = capsys.readouterr().out
    assert "optimizer.params.lr = 5e-05 -> optimization.learning_rate" in printed
    assert f"Before you use it (in the folder {tmp_path.as_posix()}" in printed
    assert read_train_config(Path(tmp_path / "a.toml")).task.classes == ("nucleus", "cell")
