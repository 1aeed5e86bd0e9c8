"""A clock for the stages of a program: each function counts what it does not hand on to another."""

from __future__ import annotations

import functools
import threading
from collections import defaultdict
from contextlib import closing, contextmanager
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

_END = object()


class Clock:
    """Seconds by the clock and of CPU time of each stage, without those of stages inside it.

    Notes
    -----
    Stages are those of the thread that made the clock, so that their seconds add up to what passed.
    What other threads do is no stage: it passes while this thread waits for it, in the stage of
    waiting, or does something else. CPU seconds are those of the whole process while a stage was
    open, with what other threads computed meanwhile, for whatever it was.
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)
        self._open = ["other"]
        self._since = perf_counter(), process_time()

    def _turn(self) -> None:
        """Give the time since the last turn to the stage that is open."""
        now = perf_counter(), process_time()
        self.wall[self._open[-1]] += now[0] - self._since[0]
        self.cpu[self._open[-1]] += now[1] - self._since[1]
        self._since = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside as a stage, unless it happens in another thread."""
        if threading.get_ident() != self._thread:
            yield
            return
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def watch(self, owner: object, attribute: str, name: str) -> None:
        """Replace a function of a module or class by one that counts as a stage."""
        function: Callable[..., Any] = getattr(owner, attribute)

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any function
            with self.stage(name):
                return function(*args, **kwargs)

        setattr(owner, attribute, watched)

    def watch_each(self, owner: object, attribute: str, name: str) -> None:
        """Do the same with a generator: the wait for each item counts, not what is made of it."""
        function: Callable[..., Generator[Any]] = getattr(owner, attribute)

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Generator[Any]:  # noqa: ANN401 - any generator
            with closing(function(*args, **kwargs)) as items:
                while True:
                    with self.stage(name):
                        item = next(items, _END)
                    if item is _END:
                        return
                    yield item

        setattr(owner, attribute, watched)

    def seconds(self) -> dict[str, tuple[float, float]]:
        """Return seconds by the clock and of CPU time of each stage."""
        self._turn()
        return {name: (self.wall[name], self.cpu[name]) for name in self.wall}
