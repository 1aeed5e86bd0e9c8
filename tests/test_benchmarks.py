"""The scripts in benchmarks/ run and print what they promise; what they measure is no test."""

import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def run(script, *arguments):
    result = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.usefixtures("scripts")
def test_a_stage_does_not_count_what_it_hands_on():
    from stages import Clock

    class Work:
        def inner(self, seconds):
            time.sleep(seconds)
            return seconds

        def outer(self):
            time.sleep(0.02)
            return self.inner(0.05)

    clock = Clock()
    clock.watch(Work, "inner", "inside")
    clock.watch(Work, "outer", "outside")
    start = time.perf_counter()
    assert Work().outer() == 0.05
    seconds = clock.seconds()
    passed = time.perf_counter() - start

    assert seconds["inside"][0] >= 0.05
    assert seconds["outside"][0] >= 0.02
    assert sum(wall for wall, _ in seconds.values()) <= passed + 0.01


@pytest.mark.usefixtures("scripts")
def test_seconds_are_those_of_the_main_thread_and_cpu_seconds_those_of_all():
    from stages import Clock

    class Work:
        def compute(self):
            end = time.thread_time() + 0.05
            while time.thread_time() < end:
                pass

        def each(self, pool):
            for item in range(2):
                pool.submit(self.compute).result()
                yield item

        def use(self, pool):
            pool.submit(self.compute).result()

    clock, work = Clock(), Work()
    clock.watch(Work, "compute", "in another thread")
    clock.watch_each(Work, "each", "network")
    clock.watch(Work, "use", "use")
    start = time.perf_counter()
    with ThreadPoolExecutor(1) as pool:
        assert [work.use(pool) or item for item in work.each(pool)] == [0, 1]
    seconds = clock.seconds()
    passed = time.perf_counter() - start

    assert seconds.keys() == {"other", "network", "use"}
    for name in ("network", "use"):
        assert min(seconds[name]) >= 0.099
    assert sum(wall for wall, _ in seconds.values()) <= passed + 0.01


@pytest.mark.usefixtures("scripts")
def test_a_stage_of_another_thread_does_not_end_that_of_the_main_thread():
    from stages import Clock

    clock = Clock()
    opened, go_on = threading.Event(), threading.Event()

    def compute():
        with clock.stage("network"):
            opened.set()
            go_on.wait()

    other = threading.Thread(target=compute)
    other.start()
    opened.wait()
    with clock.stage("blend tiles"):
        go_on.set()
        other.join()
        time.sleep(0.05)
    seconds = clock.seconds()

    assert seconds.keys() == {"other", "blend tiles"}
    assert seconds["blend tiles"][0] >= 0.05


@pytest.mark.usefixtures("scripts")
def test_the_page_has_a_row_for_each_case():
    from cases import CASES

    page = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    measured = page.split("## Measured")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]*) \|", measured, re.MULTILINE)
    assert rows == ["case", *(case.name for case in CASES)]


@pytest.mark.usefixtures("scripts")
def test_the_image_is_mirrored_copies_whose_objects_have_ids_of_their_own(tmp_path):
    from file_to_files import write_image

    image = tifffile.imread(write_image(tmp_path, 600))
    labels = np.load(tmp_path / "labels.npy")

    assert image.shape == labels.shape == (600, 600)
    assert image.dtype == np.uint16
    assert (image[:256, :256] == image[:256, 511:255:-1]).all()
    ids = np.unique(labels[labels > 0])
    assert ids.tolist() == list(range(1, len(ids) + 1))
    assert len(ids) > 4 * 30


@pytest.mark.usefixtures("scripts")
def test_peers_that_are_not_installed_are_named():
    from file_to_files import peer_table, stage_table

    row = {
        "stages": {"import": (1.0, 1.0), "network": (3.0, 5.0), "decode": (0.25, 0.5)},
        "peak": 900.0, "objects": 7, "scale": 1.0, "wall": 5.0, "cpu": 7.0,
    }  # fmt: skip

    peers = peer_table(row, {"stardist": {"missing": "tensorflow"}})
    stages = stage_table({"diameter given": row})

    assert "| pancyte | 3.00 | 5.00 | 0.25 | 0.50 | 900 | 7 |" in peers
    assert "| stardist | not installed: tensorflow |" in peers
    assert "| **all** | 5.00 | 7.00 |" in stages
    assert "| start and end of Python | 0.75 | 0.50 |" in stages


@pytest.mark.slow
def test_file_to_files_runs_on_a_small_image():
    printed = run("file_to_files.py", "--size", "96", "--repetitions", "1", "--no-peers")

    lines = [line for line in printed.splitlines() if line.startswith("|")]
    stages = {line.split("|")[1].strip() for line in lines}
    assert {"import", "network", "decode", "write labels", "**all**", "peak"} <= stages


@pytest.mark.slow
def test_network_runs_on_a_small_tile():
    printed = run("network.py", "--tile", "64", "--repetitions", "1")

    assert "Start, model and first tile on 2 threads" in printed
    assert "| folded |" in printed
