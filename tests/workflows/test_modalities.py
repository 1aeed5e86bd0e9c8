"""From a manifest to one that names kinds of image, with pictures."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner

from pancyte.cli.group import pancyte
from pancyte.data.modality import Clustering
from pancyte.data.records import Record, read_manifest, write_manifest
from pancyte.errors import InputError, UsageError
from pancyte.inference.model import Model
from pancyte.io.images import find_images, read_image
from pancyte.tasks.flow import FlowTask
from pancyte.workflows.modalities import discover_modalities

TWO = Clustering(clusters=2)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    task = FlowTask()
    return Model(task, task.network().eval())


@pytest.fixture
def manifest(tmp_path):
    """Four images of fine noise and two of coarse squares, without labels."""
    records = []
    for k in range(6):
        rng = np.random.default_rng(k)
        pixels = rng.random((96, 96)) if k % 3 else np.kron(rng.random((4, 4)), np.ones((24, 24)))
        path = tmp_path / f"{k}.tif"
        tifffile.imwrite(path, (pixels * 60_000).astype(np.uint16))
        records.append(
            Record(
                image=path, split="train" if k else "val", modality="fine" if k % 3 else "coarse"
            )
        )
    write_manifest(tmp_path / "manifest.csv", records)
    return tmp_path / "manifest.csv"


def test_the_column_modality_names_the_clusters_and_nothing_else_changes(manifest, model) -> None:
    out = manifest.parent / "new" / "found.csv"
    before = manifest.read_bytes()
    report = discover_modalities(manifest, out, model=model, clustering=TWO)
    names = [record.modality for record in read_manifest(out)]
    fine, coarse = "cluster 1", "cluster 2"
    assert names == [coarse, fine, fine, coarse, fine, fine]
    assert report.agreement == 1.0
    strip = [replace(record, modality="") for record in read_manifest(out)]
    given = [replace(record, modality="") for record in read_manifest(manifest)]
    assert [r.image.resolve() for r in strip] == [r.image.resolve() for r in given]
    assert [r.split for r in strip] == [r.split for r in given]
    assert manifest.read_bytes() == before
    assert "6 images: 2 clusters" in str(report)
    assert "adjusted Rand 1.00" in str(report)


def test_each_cluster_gets_a_sheet(manifest, model) -> None:
    report = discover_modalities(manifest, manifest.parent / "o.csv", model=model, clustering=TWO)
    assert [path.name for path in report.sheets] == ["cluster_1.png", "cluster_2.png"]
    widths = [read_image(path).image.pixels.shape[2] for path in report.sheets]
    assert widths == [4 + 4 * 132, 4 + 2 * 132]


def test_more_clusters_than_images_is_said(manifest, model) -> None:
    report = discover_modalities(manifest, manifest.parent / "o.csv", model=model)
    assert "fewer than the 40 asked for: there are not more different images" in str(report)
    assert len({record.modality for record in report.records}) == 6


def test_nothing_is_overwritten_unless_asked_for(manifest, model) -> None:
    with pytest.raises(UsageError, match="is there already"):
        discover_modalities(manifest, manifest, model=model)
    out = manifest.parent / "o.csv"
    sheets = out.with_name("o.modalities")
    sheets.mkdir()
    (sheets / "cluster_7.png").touch()
    with pytest.raises(UsageError, match="is there already"):
        discover_modalities(manifest, out, model=model)
    discover_modalities(manifest, out, model=model, clustering=TWO, overwrite=True)
    assert out.is_file()
    assert sorted(path.name for path in sheets.iterdir()) == ["cluster_1.png", "cluster_2.png"]
    (sheets / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"o\.modalities: expected nothing but the sheets.*notes"):
        discover_modalities(manifest, out, model=model, clustering=TWO, overwrite=True)


def test_sheets_lie_beside_the_manifest_and_never_among_the_images(manifest, model) -> None:
    images = manifest.parent / "data"
    images.mkdir()
    (images / "kept.txt").touch()
    out = images.with_suffix(".csv")
    discover_modalities(manifest, out, model=model, clustering=TWO)
    assert [path.name for path in images.iterdir()] == ["kept.txt"]
    assert not [path for path in find_images(manifest.parent) if "cluster" in path.name]


def test_wrong_names_and_images_are_refused(manifest, model) -> None:
    with pytest.raises(UsageError, match=r"expected a name ending in \.csv"):
        discover_modalities(manifest, manifest.parent / "o.txt", model=model)
    with pytest.raises(UsageError, match="Make one with: pancyte prepare"):
        discover_modalities(manifest.parent, manifest.parent / "o.csv", model=model)
    tifffile.imwrite(manifest.parent / "2.tif", np.zeros((5, 40, 40), np.uint8),
                     photometric="minisblack", metadata={"axes": "CYX"})  # fmt: skip
    with pytest.raises(InputError, match=r"2\.tif.*channels"):
        discover_modalities(manifest, manifest.parent / "o.csv", model=model)


def test_the_command_says_what_it_found(manifest) -> None:
    out = manifest.parent / "o.csv"
    result = CliRunner().invoke(
        pancyte, ["prepare", "modalities", str(manifest), "-o", str(out), "--clusters", "auto"]
    )
    assert result.exit_code == 0, result.output
    assert f"written: {out}" in result.output
    wrong = ["prepare", "modalities", str(manifest), "-o", str(out), "--clusters", "many"]
    assert "expected a number of clusters, such as 40, or auto" in CliRunner().invoke(
        pancyte, wrong
    ).output.replace("\n", " ")


@pytest.mark.slow
def test_four_known_modalities_are_found(shared_data, tmp_path) -> None:
    """The first six images by name of each of four kinds."""
    with (shared_data / "samples.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    kinds = (
        ("dsb2018", "fluorescence"), ("dsb2018", "colour-stain"),
        ("usiigaci_phase", "phase-contrast"), ("axon_myelin_sem", "sem"),
    )  # fmt: skip
    records = []
    for dataset, kind in kinds:
        names = sorted(
            row["sample"] for row in rows if (row["dataset"], row["modality"]) == (dataset, kind)
        )
        for name in names[:6]:
            path = shared_data / dataset / "images" / f"{name}.png"
            records.append(Record(image=path, modality=kind))
    write_manifest(tmp_path / "manifest.csv", records)
    report = discover_modalities(
        tmp_path / "manifest.csv", tmp_path / "o.csv", clustering=Clustering(clusters=4)
    )
    assert report.agreement is not None
    assert report.agreement >= 0.8
