"""Several tiles at once on a CPU: each core computes its own, instead of all sharing one.

Convolutions that share a tile wait for each other at each layer; a network of many small layers
uses three quarters of two cores so, and nearly all of them with a tile for each.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

# Each lane needs memory for a tile of its own; more threads than lanes share.
_MOST_LANES: Final = 4


def num_lanes(device: torch.device) -> int:
    """Return how many tiles are computed at once; 1 on anything but a CPU."""
    return min(_MOST_LANES, torch.get_num_threads()) if device.type == "cpu" else 1


def in_lanes(
    compute: Callable[[ItemT], ResultT], items: Iterable[ItemT], *, count: int, lanes: int
) -> Iterator[ResultT]:
    """Yield what is computed of items, in their order.

    Parameters
    ----------
    compute
        Called in several threads at once, each of which has its share of torch's threads.
    items
        Taken one by one as lanes become free, in the thread of the caller.
    count
        Number of items. What would leave lanes idle at the end is computed one after the other,
        with all of torch's threads.
    lanes
        How many are computed at once, at most.
    """
    rest = iter(items)
    threads = torch.get_num_threads()
    if lanes > 1 and count >= lanes:
        together = count - count % lanes
        share = max(1, threads // lanes)
        pending: deque[Future[ResultT]] = deque()
        # What a thread sets is the number of its own; threads that begin later take the latest.
        with ThreadPoolExecutor(
            lanes, initializer=torch.set_num_threads, initargs=(share,)
        ) as pool:
            try:
                for _ in range(together):
                    if len(pending) == lanes:
                        yield pending.popleft().result()
                    pending.append(pool.submit(compute, next(rest)))
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()
                torch.set_num_threads(threads)
    yield from map(compute, rest)
