"""The first command of the README, as a user runs it: installed model, real images, no network."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

import pancyte
from pancyte.inference.blocks import Blocks
from pancyte.io.label_files import read_labels
from pancyte.io.tables import read_csv, read_json
from pancyte.metrics.matching import match
from pancyte.metrics.scores import f1
from pancyte.ops.overlap import overlap_table
from pancyte.workflows.evaluate import evaluate
from pancyte.workflows.models import list_models

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "examples/images").glob("*.tif"))

pytestmark = pytest.mark.slow

PROGRAM = """
import socket, sys

def no_network(*arguments, **options):
    raise OSError("the network was asked for")

socket.socket.connect = no_network
socket.create_connection = no_network
socket.getaddrinfo = no_network
from pancyte.cli.exits import run
code = run(["predict", "examples/images", "-o", sys.argv[1]])
loaded = {"timm", "segmentation_models_pytorch", "matplotlib", "pandas", "torchvision"}
print("loaded:", sorted(loaded & set(sys.modules)))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("first") / "out"
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(out)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return out, result


def test_the_model_lies_in_the_package() -> None:
    """All of this fails, and does not skip, in a checkout or wheel that lost its model."""
    folder = list_models()["generalist"]
    assert folder.parent == Path(pancyte.__file__).parent / "models"
    assert {path.name for path in folder.iterdir()} == {"model.toml", "weights.safetensors"}


def test_it_works_offline_and_loads_only_what_it_needs(run) -> None:
    out, result = run
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == f"The results are in {out}\nloaded: []\n"


def test_every_image_has_labels_and_an_overlay(run) -> None:
    out, _ = run
    expected = {f"{name}{end}" for name in NAMES for end in ("_labels.tif", "_overlay.png")}
    tables = {"objects.csv", "images.csv", "run.json"}
    assert {path.name for path in out.iterdir()} == expected | tables
    for name in NAMES:
        image = tifffile.imread(ROOT / f"examples/images/{name}.tif")
        labels = read_labels(out / f"{name}_labels.tif")
        assert labels.labels.shape == (1, *image.shape[:2])
        assert labels.classes == ("object",)
        ids = np.unique(labels.labels)
        assert ids.tolist() == list(range(len(ids)))


def test_table_and_record_agree_with_the_labels(run) -> None:
    out, _ = run
    table = read_csv(out / "objects.csv")
    record = read_json(out / "run.json")
    assert record["status"] == "complete"
    assert [entry["file"] for entry in record["images"]] == [f"{name}.tif" for name in NAMES]
    for entry in record["images"]:
        labels = read_labels(out / entry["labels"]).labels
        assert entry["num_objects"] == labels.max() == table["file"].count(entry["file"])
    for file, label, area in zip(table["file"], table["label"], table["area"], strict=True):
        labels = read_labels(out / f"{Path(file).stem}_labels.tif").labels
        assert (labels == int(label)).sum() == float(area)


def test_cells_are_found(run) -> None:
    """Not a benchmark (that is in docs/models): a model that is broken falls far below."""
    result = evaluate(run[0], ROOT / "examples/labels")
    matchings = {row.image: row.matching for row in result.rows}
    assert len(matchings) == 5
    half = int(np.argmin(np.abs(result.summary.thresholds - 0.5)))
    assert result.summary.micro["f1"][half] >= 0.68
    least = {
        "ecoli_microcolony": 0.8,
        "ecoli_mother_machine": 0.5,
        "fluo_tissue_nuclei": 0.75,
        "histology_multiclass": 0.6,
        "phase_contrast_hela": 0.55,
    }
    for name, matching in matchings.items():
        assert f1(matching)[half] >= least[Path(name).stem], name


def test_the_same_in_python(run) -> None:
    result = pancyte.load().segment(ROOT / f"examples/images/{NAMES[0]}.tif")
    assert np.array_equal(result.labels, read_labels(run[0] / f"{NAMES[0]}_labels.tif").labels)


def test_a_real_image_gives_the_same_objects_in_blocks() -> None:
    """A mosaic of flips of one image, in blocks that cut through it in many places."""
    image = tifffile.imread(ROOT / "examples/images/fluo_tissue_nuclei.tif")
    row = np.concatenate([image, image[:, ::-1], image], axis=1)
    mosaic = np.concatenate([row, row[::-1]])
    model = pancyte.load(device="cpu", precision="float32")
    at_once = model.segment(mosaic, diameter=20.0)
    blocks = replace(model, blocks=Blocks(above=1, size=200, halo=100))
    in_blocks = blocks.segment(mosaic, diameter=20.0)
    table = overlap_table(at_once.labels[0], in_blocks.labels[0])
    assert at_once.objects.num_objects > 100
    assert in_blocks.objects.num_objects == at_once.objects.num_objects
    assert (table.iou >= 0.99).sum() >= 0.999 * at_once.objects.num_objects


def test_an_image_without_objects_has_none_or_a_warning() -> None:
    from sklearn.datasets import load_sample_image

    generator = np.random.default_rng(3)
    photograph = np.ascontiguousarray(load_sample_image("china.jpg").transpose(2, 0, 1))
    images = {
        "a black image": np.zeros((1, 256, 256), np.uint8),
        "the noise of a camera": generator.normal(100, 5, (1, 256, 256)).astype(np.float32),
        "an uneven lamp": np.linspace(100, 200, 256 * 256).reshape(1, 256, 256).astype(np.uint8),
        "a photograph": photograph,
    }
    model = pancyte.load(device="cpu")
    for name, image in images.items():
        found = model.segment(image, axes="CYX")
        assert found.warnings, (name, found.objects.num_objects)
    assert found.objects.num_objects > 0  # of the photograph, which is why it needs the warning


def test_nerve_fibres_are_found(shared_data: Path) -> None:
    rows = csv.DictReader((shared_data / "samples.csv").read_text(encoding="utf-8").splitlines())
    (row,) = [r for r in rows if r["dataset"] == "axon_myelin_sem" and r["split"] == "dev"]
    folder = shared_data / "axon_myelin_sem"
    truth = read_labels(folder / "fibre_masks" / f"{row['sample']}.png").labels
    found = pancyte.load(device="cpu").segment(folder / "images" / f"{row['sample']}.png")
    assert f1(match(truth[0], found.labels[0], (0.5,)))[0] > 0.75
