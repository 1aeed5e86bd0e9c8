"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# In CI the same examples in every run: what fails there can be repeated.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

_SHARED = Path(__file__).resolve().parents[2] / "shared"


def _folder_with(name: str) -> Path:
    """Return the folder of a file beside the repository; in CI, a test that lacks it fails."""
    path = _SHARED / name
    if not path.is_file():
        reason = f"../shared/{name} is not beside this repository"
        if os.environ.get("PANCYTE_REQUIRE_DATA"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images beside the repository, which not every machine has."""
    return _folder_with("data/samples.csv")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """The folder of published weights of encoders, as for ``shared_data``."""
    return _folder_with("weights/tf_efficientnet_lite0_timm.safetensors")
