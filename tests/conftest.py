"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images beside the repository, which not every machine has."""
    if not (_SHARED_DATA / "samples.csv").is_file():
        pytest.skip("the folder ../shared/data is not beside this repository")
    return _SHARED_DATA
