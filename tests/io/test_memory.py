"""Memory that reading may take, in a container, a cluster job and a shell with a limit."""

from __future__ import annotations

import resource
import types

import numpy as np
import psutil
import pytest
import tifffile

from pancyte.errors import InputError
from pancyte.io import memory
from pancyte.io.images import read_image

GB = 10**9


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with 64 GB available, no limit, and cgroups in a folder."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=64 * GB))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "_OWN_CGROUP", tmp_path / "own")
    (tmp_path / "own").write_text("1:name=systemd:/x\n0::/job/step\n")
    return tmp_path


def limit(folder, most, used, cached=0):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\nslab 3\n")


def test_available_memory_without_limits_is_that_of_the_machine(machine):
    assert memory.available_memory() == 64 * GB
    limit(machine / "job/step", "max", 3 * GB)
    assert memory.available_memory() == 64 * GB
    (machine / "own").unlink()  # another system than Linux
    assert memory.available_memory() == 64 * GB


def test_available_memory_is_what_a_cgroup_leaves_without_its_cache(machine):
    limit(machine / "job/step", 4 * GB, 3 * GB, cached=GB)
    assert memory.available_memory() == 2 * GB


def test_available_memory_heeds_the_cgroups_above(machine):
    limit(machine / "job/step", 8 * GB, GB)
    limit(machine / "job", 5 * GB, 2 * GB)
    assert memory.available_memory() == 3 * GB
    limit(machine, GB, 2 * GB)
    assert memory.available_memory() == 0


def test_available_memory_heeds_the_limit_of_the_address_space(machine, monkeypatch):
    used = psutil.Process().memory_info().vms
    monkeypatch.setattr(resource, "getrlimit", lambda _: (used + GB, used + GB))
    assert memory.available_memory() == pytest.approx(GB, rel=0.1)


def test_an_image_larger_than_the_container_is_refused(machine, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((100, 200), np.uint16))  # takes 200 kB
    limit(machine / "job/step", GB, GB - 300_000)
    with pytest.raises(InputError, match="take 200000 bytes of memory, but 150000 bytes may be"):
        read_image(path)
