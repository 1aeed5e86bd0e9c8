"""Where the log lines of pancyte go while a command runs; a library must never decide this."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _CurrentStderr:
    """``sys.stderr`` as it is at the moment of writing: a progress bar redirects it meanwhile."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


@contextlib.contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Show what pancyte logs, from level INFO, as plain lines on stderr."""
    logger = logging.getLogger("pancyte")
    handler = logging.StreamHandler(_CurrentStderr())
    handler.addFilter(_add_prefix)
    handler.setFormatter(logging.Formatter("%(prefix)s%(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _add_prefix(record: logging.LogRecord) -> bool:
    level = record.levelname.title()
    record.prefix = "" if record.levelno < logging.WARNING else f"{level}: "
    return True
