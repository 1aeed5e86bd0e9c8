"""From an image file to files of results, stage by stage, beside what peers take to predict.

    uv run --group benchmark python benchmarks/file_to_files.py             # 2048 px, all of it
    uv run python benchmarks/file_to_files.py --repetitions 5 --no-peers    # ours alone

Every run is a process of its own, from its start to its end: `pancyte predict image.tif -o out`
with the bundled model, with the diameter estimated and given. The image is the fluorescence
example in mirrored copies, so that the model finds what it would find in tissue.

Several tiles are computed at once, each in a thread of its own. Seconds are those of the main
thread, whose wait for a tile is "network". CPU seconds are those of the whole process meanwhile:
what the network computes while the main thread blends tiles counts there.

Peers predict the same image from an array with untrained weights of their published architecture,
on which their speed does not depend: "network" is what any weights would take; what they make of
its outputs is given as well, but of untrained outputs it is no measure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "images" / "fluo_tissue_nuclei.tif"
TRUTH = ROOT / "examples" / "labels" / "fluo_tissue_nuclei.tif"
DIAMETER = 23.6  # median of the example's labels
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
OURS = {"diameter estimated": [], "diameter given": ["--diameter", str(DIAMETER)]}
PREDICTING = (
    "measure intensities", "estimate the size", "normalize and resize", "blend tiles",
    "resize the maps", "decode", "normalize", "objects", "normalize, tiles and seams",
)  # fmt: skip
Row = dict[str, Any]


def write_image(folder: Path, side: int) -> Path:
    """Write the example, and for the peers its labels too, in copies until they have the size."""
    import tifffile
    from scipy.ndimage import label

    image, labels = tifffile.imread(EXAMPLE), tifffile.imread(TRUTH)
    tifffile.imwrite(folder / "image.tif", mirrored(image, side))
    np.save(folder / "image.npy", mirrored(image, side))
    # Copies of an object are objects of their own, if they do not touch.
    ids = [label(mirrored(labels == number, side))[0] for number in range(1, labels.max() + 1)]
    firsts = np.cumsum([0, *(plane.max() for plane in ids)])
    planes = (
        np.where(plane > 0, plane + first, 0) for plane, first in zip(ids, firsts, strict=False)
    )
    labels = sum(planes, start=np.zeros((side, side), np.int32))
    np.save(folder / "labels.npy", labels.astype(np.int32))
    return folder / "image.tif"


def mirrored(array: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Return copies of an array side by side, mirrored so that there is no seam."""
    square = np.block([[array, array[:, ::-1]], [array[::-1], array[::-1, ::-1]]])
    times = -(-side // len(square))
    return np.tile(square, (times, times))[:side, :side]


def run_ours(image: Path, out: Path, options: list[str]) -> Row:
    """Predict in this process as the command does, and return what its stages took."""
    from stages import Clock
    from timing import peak

    clock = Clock()
    with clock.stage("import"):
        from pancyte.cli import main
        from pancyte.cli.imports import without_garbage_collection

        with without_garbage_collection():
            import pancyte.workflows.predict as workflow
    from pancyte.inference import blocks, model, passes, tiles, tta, view
    from pancyte.tasks.flow import FlowTask
    from pancyte.workflows.results import Results

    for owner, attribute, name in (
        (workflow, "load_model", "load the model"),
        (workflow, "warm_up", "load the kernels"),
        (workflow, "read_image", "read the image"),
        (model, "view_image", "measure intensities"),
        (view.View, "read", "normalize and resize"),
        (passes.Passes, "settle", "estimate the size"),
        (tiles.Blender, "add", "blend tiles"),
        (blocks, "resize_maps", "resize the maps"),
        (FlowTask, "decode", "decode"),
        (model, "measure_objects", "measure objects"),
        (passes, "measure_objects", "measure objects"),
        (workflow, "write_labels", "write labels"),
        (workflow, "draw_contours", "draw the picture"),
        (workflow, "write_png", "write the picture"),
        (Results, "write", "write tables"),
    ):
        clock.watch(owner, attribute, name)
    clock.watch_each(tta.Predictor, "predict_each", "network")
    sys.argv = ["pancyte", "predict", str(image), "-o", str(out), "--overwrite", *options]
    try:
        main()
    except SystemExit as error:
        if error.code:
            raise
    found = json.loads((out / "run.json").read_text(encoding="utf-8"))
    entry = found["images"][0]
    return {
        "stages": clock.seconds(),
        "peak": peak(),
        "objects": entry["num_objects"],
        "scale": entry["scale"],
        "precision": found["precision"],
    }


def run_peer(name: str, folder: Path, threads: int) -> Row:
    """Predict with a peer in this process; empty where it is not installed."""
    from peers import PEERS

    if name == "instanseg":
        with contextlib.suppress(ModuleNotFoundError):
            import torch

            torch.set_num_threads(threads)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return PEERS[name](np.load(folder / "image.npy"), np.load(folder / "labels.npy"))
    except ModuleNotFoundError as error:
        return {"missing": str(error.name)}


def child(python: str, arguments: list[str], threads: int) -> Row:
    """Run a column in a process of its own and return what it says, with its time from outside."""
    # As the command sets it before torch is loaded; ours and the peers alike.
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment |= dict.fromkeys(THREADS, str(threads))
    start = perf_counter(), os.times()
    result = subprocess.run(
        [python, __file__, "--threads", str(threads), "--child", *arguments],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    wall, ended = perf_counter() - start[0], os.times()
    if result.returncode:
        raise SystemExit(result.stderr)
    row: Row = json.loads(result.stdout.splitlines()[-1])
    cpu = sum(ended[2:4]) - sum(start[1][2:4])
    return row | {"wall": wall, "cpu": cpu}


def best(name: str, folder: Path, options: argparse.Namespace) -> Row:
    """Return the run of ours that took the least CPU time; a peer takes minutes and runs once."""
    python = sys.executable if name in OURS else options.python
    repetitions = options.repetitions if name in OURS else 1
    rows = [child(python, [name, str(folder)], options.threads) for _ in range(repetitions)]
    return min(rows, key=lambda row: row["cpu"])


def stage_table(rows: dict[str, Row]) -> str:
    """Return the stages of our columns as Markdown: seconds by the clock, and of CPU time."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row["stages"]))
    for row in rows.values():
        inside = np.sum(list(row["stages"].values()), axis=0)
        row["stages"]["start and end of Python"] = (row["wall"] - inside[0], row["cpu"] - inside[1])
        row["stages"]["**all**"] = (row["wall"], row["cpu"])
    lines = [
        "| stage | " + " | ".join(f"{name}: s | CPU s" for name in rows) + " |",
        "|---|" + "---|" * (2 * len(rows)),
    ]
    for name in (*names, "start and end of Python", "**all**"):
        pairs = [row["stages"].get(name, (0.0, 0.0)) for row in rows.values()]
        lines.append(f"| {name} | " + " | ".join(f"{w:.2f} | {c:.2f}" for w, c in pairs) + " |")
    for what, unit in (("peak", "MB"), ("objects", ""), ("scale", "")):
        values = [f"{row[what]:.4g} {unit}".strip() for row in rows.values()]
        lines.append(f"| {what} | " + " | ".join(f"{value} | " for value in values) + " |")
    return "\n".join(lines)


def peer_table(ours: Row, peers: dict[str, Row]) -> str:
    """Return what prediction takes from array to labels as Markdown, ours and that of the peers."""
    lines = [
        "| | network: s | CPU s | the rest: s | CPU s | peak MB | objects |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in {"pancyte": ours, **peers}.items():
        if "missing" in row:
            lines.append(f"| {name} | not installed: {row['missing']} | | | | | |")
            continue
        stages = {part: np.array(row["stages"].get(part, (0.0, 0.0))) for part in row["stages"]}
        network = stages["network"]
        rest = sum((stages[part] for part in PREDICTING if part in stages), start=np.zeros(2))
        lines.append(
            f"| {name} | {network[0]:.2f} | {network[1]:.2f} | {rest[0]:.2f} | {rest[1]:.2f} "
            f"| {row['peak']:.0f} | {row['objects']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Read the command line and print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--size", type=int, default=2048, help="side of the image in pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=3, help="of which the best counts")
    parser.add_argument("--no-peers", action="store_true", help="measure ours alone")
    parser.add_argument("--python", default=sys.executable, help="that has the peers, if another")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, folder = options.child[0], Path(options.child[1])
        if name in OURS:
            row = run_ours(folder / "image.tif", folder / "out", OURS[name])
        else:
            row = run_peer(name, folder, options.threads)
        print(json.dumps(row))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_image(Path(folder), options.size)
        ours = {name: best(name, Path(folder), options) for name in OURS}
        print(stage_table(ours), flush=True)
        if not options.no_peers:
            rows = {name: best(name, Path(folder), options) for name in ("stardist", "instanseg")}
            print("\n" + peer_table(ours["diameter given"], rows))


if __name__ == "__main__":
    main()
