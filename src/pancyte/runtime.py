"""What a computation runs on, decided once: device, precision, threads, seed, compilation.

Nothing here happens on import. torch is loaded only by the functions that return something of it.
"""

from __future__ import annotations

import logging
import os
import random
import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from pancyte.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

_LOGGER = logging.getLogger(__name__)

# Loading compiled kernels takes less CPU time than this, compiling them much more.
_COMPILES_AFTER_S: Final = 2.0

Precision = Literal["float32", "bfloat16"]
PrecisionChoice = Literal["auto", "float32", "bfloat16"]


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` is the first CUDA device, else the CPU.

    Raises
    ------
    UsageError
        The name is another one, or the device is not there.
    """
    import torch  # noqa: PLC0415 - a second and a half of start-up

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if re.fullmatch(r"cpu|cuda(:\d+)?", name) is None:
        msg = f"Expected device to be auto, cpu, cuda or cuda:N, but got {name!r}"
        raise UsageError(msg)
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        msg = (
            f"Expected a CUDA device that torch sees ({torch.cuda.device_count()} here), "
            f"but got {name!r}. Use device=auto or device=cpu."
        )
        raise UsageError(msg)
    return device


def choose_precision(name: PrecisionChoice, device: torch.device) -> Precision:
    """Return the precision to run a network in; ``auto`` is bfloat16 where the device has it.

    On a CPU that means AVX-512-BF16 or AMX instructions, with which a convolution is two to three
    times as fast as in float32; without them bfloat16 is emulated and slower.
    """
    import torch  # noqa: PLC0415

    if name != "auto":
        return name
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device.type == "cpu" and _cpu_has_bfloat16() else "float32"


def set_threads(num_threads: int | None = None) -> int:
    """Let torch use that many threads, by default all that this process may; return the number.

    ``os.cpu_count()`` counts the machine's CPUs, even those withheld by a scheduler or container.
    """
    import torch  # noqa: PLC0415

    threads = available_cpus() if num_threads is None else num_threads
    if threads < 1:
        msg = f"Expected threads to be at least 1, but got {threads}"
        raise UsageError(msg)
    torch.set_num_threads(threads)
    return threads


@contextmanager
def using_threads(num_threads: int | None = None) -> Iterator[int]:
    """Use that many threads inside, as :func:`set_threads`, and as many as before afterwards."""
    import torch  # noqa: PLC0415

    before = torch.get_num_threads()
    try:
        yield set_threads(num_threads)
    finally:
        torch.set_num_threads(before)


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch, for libraries that use them.

    pancyte's own random functions take a generator; see :func:`sample_generator`.
    """
    import torch  # noqa: PLC0415

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the global generator is what is seeded here
    torch.manual_seed(seed)


def sample_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the generator of one training sample, the same in any worker and after any resume.

    Examples
    --------
    >>> float(sample_generator(0, 2, 5).random()) == float(sample_generator(0, 2, 5).random())
    True
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch, index))))


def warm_up() -> None:
    """Compile the numerical kernels, or load them from their cache.

    Compiling happens once for each installation and is said in the log when it happens. The cache
    lies beside the package; where that folder is read-only, numba uses the user's cache folder.
    """
    done = threading.Event()
    notice = threading.Thread(target=_tell_when_compiling, args=[done], daemon=True)
    notice.start()
    try:
        _call_every_kernel()
    finally:
        done.set()
        notice.join()


def _tell_when_compiling(done: threading.Event) -> None:
    # CPU time, because loading is slow as well while other processes are busy.
    started = time.process_time()
    while not done.wait(0.2):
        if time.process_time() - started > _COMPILES_AFTER_S:
            _LOGGER.info(
                "Compiling the numerical kernels for this machine, once; this takes about a minute."
            )
            return


def _call_every_kernel() -> None:
    """Run what a prediction runs, on the smallest arrays that reach every kernel."""
    from pancyte.ops.flow import decode_flow, labels_to_flow  # noqa: PLC0415 - half a second
    from pancyte.ops.labels import boundaries, keep_largest_component  # noqa: PLC0415
    from pancyte.ops.measure import measure_objects  # noqa: PLC0415
    from pancyte.ops.resample import resize_image, resize_labels, resize_maps  # noqa: PLC0415
    from pancyte.types import Maps  # noqa: PLC0415

    labels = np.zeros((32, 32), np.int32)
    labels[4:14, 4:14] = 1
    labels[14:28, 6:28] = 2
    labels[20:22, 15:17] = 0
    foreground = (labels > 0).astype(np.float32)
    for field in ("diffusion", "geodesic"):
        flow = labels_to_flow(labels, field=field)
        found = decode_flow(foreground, flow, field=field)
    pixels = resize_image(foreground[None], (48, 48))
    resize_maps(Maps(pixels, flow[None].repeat(1, axis=0)), (40, 40))
    small = keep_largest_component(resize_labels(found.labels, (16, 16)))
    measure_objects(small[None], resize_image(pixels, (16, 16)), None)
    boundaries(found.labels)


def _cpu_has_bfloat16() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
