"""The command line: thin commands over the functions of :mod:`pancyte.workflows`.

Help must come at once, so nothing here imports torch, numpy, scipy or pydantic before a command
runs.
"""

from pancyte.cli.exits import main

__all__ = ["main"]
