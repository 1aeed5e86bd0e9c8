"""Models for other programs: the maps of ONNX Runtime are those of torch."""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pancyte.cli.exits import run
from pancyte.errors import PancyteError, UsageError
from pancyte.inference.model import Model
from pancyte.nn.architectures import Compact, EncoderDecoder
from pancyte.nn.compact import pad_to_multiple
from pancyte.ops.preprocess import Preprocessing, preprocess
from pancyte.tasks.flow import FlowTask
from pancyte.workflows import export as exporting
from pancyte.workflows import export_onnx as onnx_module
from pancyte.workflows.export import export_model
from pancyte.workflows.export_bioimageio import Facts, _identifiers, package_model
from pancyte.workflows.export_onnx import export_onnx, infer, mirror_to_multiple
from pancyte.workflows.models import load, save_model

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = {
    "weights_sha256": "0" * 64,
    "provenance": {"validation": {"f1": 0.75, "images": 40}, "diameters": [8.0, 16.0, 32.0]},
}


class Blurred(nn.Module):
    """A network of one convolution, which needs no time to be traced."""

    def __init__(self, classes: int = 2, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.classes = classes
        self.conv = nn.Conv2d(channels, 3 * classes, 5, padding=2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        height, width = images.shape[-2:]
        x = self.conv(pad_to_multiple(images, 32))[..., :height, :width]
        return {"foreground": x[:, : self.classes], "flow": x[:, self.classes :]}


def blurred(task: FlowTask | None = None) -> Model:
    task = task or FlowTask(classes=("Cell body", "3/4"), preprocessing=Preprocessing(channels=2))
    network = Blurred(len(task.classes), task.preprocessing.channels).eval()
    return Model(task, network, name="a/b", manifest=MANIFEST)


def write_model(folder: Path, architecture: Compact | EncoderDecoder) -> Path:
    torch.manual_seed(0)
    task = FlowTask(classes=("cell", "nucleus"), architecture=architecture)
    network = task.network()
    # Without a step of training, batch norm would hide wrong statistics.
    with torch.no_grad():
        network.train()(torch.rand(4, 3, 64, 64))
    save_model(folder, task, network, name="tiny", provenance={"licence": "MIT"})
    return folder


def maps_of(content: bytes, image: np.ndarray) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["foreground", "flow"], {"image": image})


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70), multiple=st.sampled_from([4, 32]))
def test_looking_up_rows_extends_an_image_as_the_networks_do(height, width, multiple):
    image = torch.rand(1, 1, height, width)
    assert torch.equal(mirror_to_multiple(image, multiple), pad_to_multiple(image, multiple))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_network_gives_the_same_in_onnx_and_says_what_it_is():
    import onnx

    model = blurred(
        FlowTask(
            classes=("cell", "nucleus"),
            preprocessing=Preprocessing(channels=2, percentiles_of="nonzero", diameter=None),
            loss="mediar",
        )
    )
    exported = export_onnx(model)
    assert exported.difference is not None
    assert 0 <= exported.difference < 1e-5
    for shape in ((1, 2, 64, 64), (3, 2, 64, 64), (1, 2, 33, 70), (2, 2, 33, 70), (1, 2, 1, 1)):
        image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        found = maps_of(exported.content, image)
        assert [array.dtype for array in found] == [np.float32] * 2
        for one, other in zip(found, infer(model, image), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)
    proto = onnx.load_from_string(exported.content)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 18)]
    sizes = [d.dim_param or d.dim_value for d in proto.graph.output[1].type.tensor_type.shape.dim]
    assert sizes == ["batch", 4, "height", "width"]
    told = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(told["classes"]) == ["cell", "nucleus"]
    assert json.loads(told["diameter"]) is None
    assert json.loads(told["normalization"]) == {
        "percentiles": [1.0, 99.8],
        "percentiles_of": "nonzero",
        "channels": "joint",
        "clip": [-0.5, 3.0],
        "lone_channel": "keep",
    }
    assert json.loads(told["task"])["loss"] == "mediar"
    assert told["weights_sha256"] == "0" * 64
    assert str(ROOT).encode() not in exported.content
    assert b".py" not in exported.content


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_export_that_differs_is_refused(monkeypatch):
    model = blurred()
    monkeypatch.setattr(
        onnx_module, "infer", lambda *_: tuple(one + 0.01 for one in infer(model, _[1]))
    )
    with pytest.raises(PancyteError, match=r"differs from the model by 0\.01.* nothing was writt"):
        export_onnx(model)


def test_without_onnxruntime_nothing_is_compared(monkeypatch):
    hide(monkeypatch, "onnxruntime")
    assert onnx_module._compare(b"", blurred()) is None
    text = str(exporting.Export(Path(__file__), "onnx", None))
    assert "Not compared with torch: install onnxruntime" in text


def hide(monkeypatch, *names: str) -> None:
    real = importlib.import_module

    def import_module(name: str, package: str | None = None):
        if name in names:
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(onnx_module.importlib, "import_module", import_module)


def test_a_missing_extra_is_named(monkeypatch):
    hide(monkeypatch, "onnxscript")
    with pytest.raises(UsageError, match=r"needs onnxscript.*pip install 'pancyte\[onnx\]'"):
        export_onnx(blurred())


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_network_that_cannot_be_followed_is_one_sentence():
    class Choosing(Blurred):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return super().forward(images if float(images.sum()) > 0 else images + 1)

    model = replace(blurred(), network=Choosing(2, 2).eval())
    with pytest.raises(UsageError, match="a/b cannot be exported to ONNX for images of any size"):
        export_onnx(model)


@pytest.fixture
def stub(monkeypatch) -> None:
    """The one convolution is every model."""
    monkeypatch.setattr(exporting, "load", lambda *_, **__: blurred())
    monkeypatch.setattr(
        exporting, "export_onnx", lambda _: onnx_module.OnnxNetwork(b"network", 2e-7)
    )


@pytest.mark.usefixtures("stub")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.onnx"], "Expected one of --onnx and --bioimageio"),
        (["--onnx", "--bioimageio", "-o", "a.onnx"], "Expected one of --onnx and --bioimageio"),
        (["--onnx", "-o", "a.zip"], "a.zip: expected a name that ends in .onnx"),
        (["--bioimageio", "-o", "a.onnx"], "a.onnx: expected a name that ends in .zip"),
        (["--onnx", "-o", "there.onnx"], "there.onnx: is there already.*--overwrite"),
        (["--onnx", "-o", "a.onnx", "--card", "b.md"], "an ONNX file has no place"),
    ],
)
def test_wrong_use_is_one_sentence(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("there.onnx").write_bytes(b"mine")
    assert run(["models", "export", "generalist", *arguments]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]
    assert Path("there.onnx").read_bytes() == b"mine"


@pytest.mark.usefixtures("stub")
def test_the_command_says_what_it_wrote(tmp_path, capsys):
    out = tmp_path / "new/a.onnx"
    for _ in range(2):
        arguments = ["models", "export", "generalist", "--onnx", "-o", str(out), "--overwrite"]
        assert run(arguments) == 0
    text = capsys.readouterr().out
    assert f"{out}: 0.0 MB, ONNX opset 18, images of any size" in text
    assert "Largest difference from torch: 2.0e-07" in text
    assert "docs/export.md" in text
    assert out.read_bytes() == b"network"


@pytest.mark.usefixtures("stub")
def test_a_card_goes_into_the_package_without_its_pictures(tmp_path, capsys):
    card = tmp_path / "card.md"
    card.write_text("# Card\n\n## Scores\n\n![curve](curve.png)\nGood.\n", encoding="utf-8")
    out = tmp_path / "a.zip"
    arguments = ["models", "export", "x", "--bioimageio", "-o", str(out), "--card", str(card)]
    assert run(arguments) == 0
    assert f"bioimageio test {out}" in capsys.readouterr().out
    readme = unpacked(out.read_bytes())["README.md"].decode()
    assert readme.endswith("## Model card\n\n### Card\n\n#### Scores\n\nGood.\n")
    assert run([*arguments[:-1], str(tmp_path / "none.md"), "--overwrite"]) == 3
    assert "none.md: cannot be read" in capsys.readouterr().err
    card.write_bytes(b"\xff\xfe\x00")
    assert run([*arguments, "--overwrite"]) == 3
    assert "card.md: cannot be read (it is no text)" in capsys.readouterr().err


def test_a_package_says_what_it_is():
    facts = Facts(licence="MIT", authors=("Ada", "Grace"))
    content = package_model(blurred(), b"network", facts)
    files = unpacked(content)
    assert package_model(blurred(), b"network", facts) == content
    description = yaml.safe_load(files["bioimageio.yaml"])
    assert "*id" not in files["bioimageio.yaml"].decode()
    assert description["name"] == "pancyte a b"
    assert description["license"] == "MIT"
    assert description["authors"] == [{"name": "Ada"}, {"name": "Grace"}]
    names = [
        axes["channel_names"]
        for tensor in (*description["inputs"], *description["outputs"])
        for axes in tensor["axes"]
        if axes["type"] == "channel"
    ]
    assert names == [
        ["channel0", "channel1"],
        ["cell_body", "class_3_4"],
        ["cell_body_y", "cell_body_x", "class_3_4_y", "class_3_4_x"],
    ]
    readme = files["README.md"].decode()
    assert "Finding objects in these maps is not part of this package" in readme
    assert "diameter of about 30 pixels" in readme
    assert "- f1: 0.750" in readme
    assert "- images" not in readme
    assert files["cover.png"].startswith(b"\x89PNG")
    image = np.load(io.BytesIO(files["test_image.npy"]))
    assert image.shape == (1, 2, 128, 192)
    expected = infer(blurred(), preprocess(image[0], Preprocessing(channels=2))[None])
    np.testing.assert_array_equal(np.load(io.BytesIO(files["test_flow.npy"])), expected[1])


def test_a_package_says_what_the_standard_has_no_words_for():
    odd = Preprocessing(
        percentiles_of="nonzero", diameter=None, normalization="channel", lone_channel="gray"
    )
    files = unpacked(package_model(blurred(FlowTask(preprocessing=odd)), b"network"))
    readme = files["README.md"].decode()
    assert "percentiles of the pixels that are not 0" in readme
    assert "in each channel" in readme
    assert "Resize" not in readme
    assert "Ask whoever trained the model for its licence." in readme
    assert "put the names into `authors` of bioimageio.yaml" in readme
    assert "one channel alone shows anything as gray" in readme
    description = yaml.safe_load(files["bioimageio.yaml"])
    assert description["inputs"][0]["preprocessing"][0]["kwargs"]["axes"] == ["y", "x"]
    assert "license" not in description
    assert description["authors"] == [{"name": "Unknown"}]
    low = FlowTask(preprocessing=Preprocessing(percentiles=(0.0, 0.9)))
    with pytest.raises(UsageError, match=r"an upper percentile above 1, but got 0\.9"):
        package_model(blurred(low), b"network")


def test_classes_of_one_name_after_simplification_stay_apart():
    task = FlowTask(classes=("CD3/CD4", "CD3 CD4", "+"))
    files = unpacked(package_model(blurred(task), b""))
    axes = yaml.safe_load(files["bioimageio.yaml"])["outputs"][0]["axes"]
    assert axes[1]["channel_names"] == ["cd3_cd4", "cd3_cd4_1", "class_2"]
    assert _identifiers(["a", "a_2", "A", "a"]) == ["a", "a_2", "a_3", "a_4"]


@given(st.lists(st.sampled_from(["a", "A", "a_1", "a_2", "a_3", "3", "class_3"]), max_size=6))
def test_identifiers_of_channels_are_all_different(names):
    found = _identifiers(names)
    assert len(set(found)) == len(names)


def test_licence_and_authors_are_those_of_the_model_or_ours_where_it_is_bundled():
    assert exporting._licence(blurred()) is None
    assert exporting._authors(blurred()) == ()
    facts = {"licence": "CC0-1.0", "authors": ["Ada"]}
    own = replace(blurred(), manifest={"provenance": facts})
    assert exporting._licence(own) == "CC0-1.0"
    assert exporting._authors(own) == ("Ada",)
    bundled = exporting.read_manifest(exporting.list_models()["generalist"])
    # Calibrated anew, its file has another hash.
    ours = replace(blurred(), manifest={**bundled, "weights_sha256": "0" * 64})
    assert exporting._licence(ours) == "BSD-3-Clause"
    assert exporting._authors(ours) == ("The pancyte developers",)


SMALL = {
    "compact": Compact(decoder_channels=(8, 8, 8, 8, 8), padding="replicate", sizes=True),
    "manet": EncoderDecoder(encoder="test_resnet", decoder_channels=(16,) * 5),
    "unet": EncoderDecoder(
        encoder="test_resnet", decoder="unet", decoder_channels=(16,) * 4, upsample=2
    ),
    "fpn": EncoderDecoder(encoder="test_resnet", decoder="fpn"),
}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SMALL)
def test_every_architecture_gives_the_same_in_onnx(name, tmp_path):
    folder = write_model(tmp_path / "model", SMALL[name])
    out = tmp_path / "model.onnx"
    assert run(["models", "export", str(folder), "--onnx", "-o", str(out)]) == 0
    model = load(folder, device="cpu", precision="float32")
    generator = np.random.default_rng(0)
    for shape in ((64, 96), (45, 130), (1, 1), (5, 300), (512, 512)):
        for batch in (1, 3) if shape[0] < 500 else (1,):
            image = generator.uniform(size=(batch, 3, *shape)).astype(np.float32)
            for one, other in zip(
                maps_of(out.read_bytes(), image), infer(model, image), strict=True
            ):
                np.testing.assert_allclose(one, other, atol=1e-4)


# No address can be reached, and nothing is kept outside of the folder of the test.
TEST_OFFLINE = """
import os, socket, sys
def refuse(*_, **__):
    raise OSError("no network in this test")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from bioimageio.core import test_model
summary = test_model(sys.argv[1])
print(summary.status)
for detail in summary.details:
    print(detail.status, detail.name, [error.msg for error in detail.errors])
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_package_passes_the_test_of_bioimageio(tmp_path):
    pytest.importorskip("bioimageio.core", reason="comes with pancyte[bioimageio]")
    folder = write_model(tmp_path / "model", SMALL["compact"])
    out = tmp_path / "model.zip"
    export_model(folder, out, format="bioimageio")
    cache = tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, "-c", TEST_OFFLINE, str(out)],
        env={**os.environ, "BIOIMAGEIO_CACHE_PATH": str(cache), "HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("passed\n"), done.stdout + done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert any(line.startswith("passed Reproduce test outputs") for line in lines)
    assert sum("Run onnx inference for inputs with batch_size" in line for line in lines) == 6


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_bundled_model_runs_as_the_page_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    page = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    first = re.search(r"^pancyte (models export generalist .*)$", page, re.MULTILINE)
    assert first is not None
    assert run(first[1].split()) == 0
    blocks = re.findall(r"^```py\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    assert len([line for line in blocks[0].splitlines() if line]) <= 16
    capsys.readouterr()
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    merged, apart = (int(line.split()[0]) for line in capsys.readouterr().out.splitlines())
    # The first counts specks that decoding leaves out, and touching nuclei once.
    assert 20 < apart < 50
    assert 20 < merged < 60
