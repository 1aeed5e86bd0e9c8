"""The script that draws training images makes a data set that can be trained on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.scripts import load_script

from pancyte.data.records import read_manifest
from pancyte.io.images import read_image
from pancyte.io.label_files import read_labels

ROOT = Path(__file__).resolve().parents[1]


script = load_script("scripts/generated_data.py")


def make(out: Path, *numbers: int, seed: int = 3):
    return [script.make_image(n, kinds=script.KINDS, seed=seed, out=out)[0] for n in numbers]


@pytest.mark.parametrize("kind", script.KINDS, ids=lambda kind: kind.name)
def test_every_kind_draws_an_image_and_its_labels(kind):
    counts = []
    for seed in range(4):
        image, labels = kind.draw((160, 170), np.random.default_rng(seed))
        counts.append(labels.max())
        assert image.dtype.name in {"uint8", "uint16"}
        assert labels.shape == image.shape[1:]
        if counts[-1]:
            break

    assert max(counts) < 65536  # the type of the files
    assert (max(counts) == 0) == kind.name.startswith("negative-")


def test_kinds_have_names_of_their_own():
    names = [kind.name for kind in script.KINDS]

    assert len(set(names)) == len(names)
    assert all(kind.share > 0 for kind in script.KINDS)


def test_an_image_depends_on_seed_and_number_alone(tmp_path):
    (first,) = make(tmp_path / "a", 5)
    (_, second) = make(tmp_path / "b", 4, 5)
    (other,) = make(tmp_path / "c", 5, seed=4)

    assert first.image.read_bytes() == second.image.read_bytes()
    assert first.labels.read_bytes() == second.labels.read_bytes()
    assert first.image.read_bytes() != other.image.read_bytes()


@pytest.mark.slow
def test_the_script_writes_a_manifest_of_images_that_can_be_read(tmp_path):
    arguments = ["--out", tmp_path, "--count", 20, "--workers", 1, "--kinds", "rods", "--sheet"]
    command = [sys.executable, ROOT / "scripts" / "generated_data.py", *arguments]
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)

    assert "20 images" in done.stdout
    records = read_manifest(tmp_path / "manifest.csv")
    assert [record.split for record in records] == ["train"] * 19 + ["val"]
    assert len({record.group for record in records}) == 20
    assert {record.source for record in records} == {"generated"}
    assert all(record.modality.startswith("generated-rods-") for record in records)
    for record in records[:5]:
        image, labels = read_image(record.image).image, read_labels(record.labels).labels
        assert image.pixels.shape == (1, *labels.shape[1:])
    assert len(list((tmp_path / "sheets").glob("*.png"))) == 3


@pytest.mark.parametrize("arguments", [["--count", "0"], ["--kinds", "whales"]])
def test_a_wrong_argument_is_told(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["generated_data.py", "--out", str(tmp_path), *arguments])

    assert script.main() == 2
    assert "--count of 1 or more and --kinds that begins the name" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
