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

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images beside the repository, which not every machine has."""
    if not (_SHARED_DATA / "samples.csv").is_file():
        reason = "the folder ../shared/data is not beside this repository"
        if os.environ.get("PANCYTE_REQUIRE_DATA"):
            pytest.fail(reason)
        pytest.skip(reason)
    return _SHARED_DATA
