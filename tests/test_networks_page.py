"""Every network that docs/networks.md shows is read, built and trained for one step."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pancyte.nn.architectures import MEDIAR_FORMER, MEDIAR_V, EncoderDecoder
from pancyte.workflows.train_config import TrainConfig, read_train_config

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/networks.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

# One step of the published networks takes minutes; their full size is tested with them.
SMALLER = {
    "mit_b5": "mit_b0", "convnext_tiny": "test_convnext", "resnet34": "test_resnet",
}  # fmt: skip


def read(snippet: str, folder: Path) -> TrainConfig:
    path = folder / "config.toml"
    tables = f'[[data]]\npath = "images"\n{snippet}' if "initialize" not in snippet else (
        f'{snippet}\n[[data]]\npath = "images"\n'
    )  # fmt: skip
    path.write_text(f'out = "run"\n{tables}', encoding="utf-8")
    return read_train_config(path)


def test_the_page_shows_networks() -> None:
    assert len(SNIPPETS) == 6


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_every_network_shown_takes_a_step(snippet: str, tmp_path: Path) -> None:
    config = read(snippet, tmp_path)
    task = config.task
    assert "architecture" in tomllib.loads(snippet)["task"]
    if isinstance(task.architecture, EncoderDecoder):
        name = SMALLER.get(task.architecture.encoder, task.architecture.encoder)
        few = None
        if len(task.architecture.widths) == 5:
            few = (16, 16, 16, 16, 16)
        task = replace(
            task, architecture=replace(task.architecture, encoder=name, decoder_channels=few)
        )
    torch.manual_seed(0)
    network = task.network()
    labels = torch.zeros(2, len(task.classes), 64, 64, dtype=torch.int32)
    labels[:, :, 10:30, 20:40] = 1
    encoded = [task.encode(plane.numpy()) for plane in labels]
    targets = {key: torch.stack([torch.as_tensor(e[key]) for e in encoded]) for key in encoded[0]}
    loss = sum(task.losses(network, torch.rand(2, 3, 64, 64), targets).values())
    loss.backward()
    assert loss.isfinite()
    assert any(p.grad is not None and p.grad.any() for p in network.encoder.parameters())


def test_the_published_networks_are_those_of_the_code(tmp_path: Path) -> None:
    shown = [read(snippet, tmp_path).task.architecture for snippet in SNIPPETS]
    assert MEDIAR_FORMER in shown
    assert MEDIAR_V in shown
