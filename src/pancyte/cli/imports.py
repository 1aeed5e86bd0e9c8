"""Importing what a command needs in less time."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Import the workflows inside: loading torch makes a million objects, none of them garbage.

    Python would look through all of them again and again while they are made, once more when it
    ends, and now and then in between: a quarter of the time that a small image takes. What is there
    at the end of the first such import is never looked through again.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
