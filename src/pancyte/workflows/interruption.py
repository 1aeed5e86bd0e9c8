"""Ctrl-C and SIGTERM as a request that long work looks at between its steps."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_LOGGER = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 - not an error; it never leaves the workflows
    """Work stops here because a signal asked for it."""


class Interruption:
    """Keeps the first SIGINT or SIGTERM back while entered, so that work can end in order.

    A second signal acts at once. Outside of the main thread, where Python sets no handlers, it does
    nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def check(self) -> None:
        """Raise :class:`Interrupted` if a signal has come."""
        if self.received is not None:
            raise Interrupted

    def follow(self) -> None:
        """Take a signal that came to another process of the same work for one of this process."""
        if self.received is None:
            self.received = signal.SIGINT

    def act(self) -> None:
        """Let the signal that was kept back, if any, do what it did before."""
        self._restore()
        if self.received is not None:
            signal.raise_signal(self.received)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self.received is not None:
            self._restore()
            signal.raise_signal(number)
            return
        self.received = number
        _LOGGER.info("Stopping after this step and saving; a second Ctrl-C stops at once")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
