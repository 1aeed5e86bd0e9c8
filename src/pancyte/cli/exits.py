"""How a command ends: one sentence on stderr and an exit code, never a traceback unasked.

=====  ==========================================================================
0      done
1      a defect of pancyte: one sentence, and where the traceback was saved
2      wrong use: arguments, options or configuration
3      an input cannot be read
4      out of memory or out of disk
5      done in part: what failed is listed
130    interrupted (Ctrl-C), and 143 terminated; what was finished is kept
=====  ==========================================================================
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import tempfile
import traceback
from typing import TYPE_CHECKING, NoReturn

import click

from pancyte.cli.group import pancyte
from pancyte.cli.logs import logging_to_stderr
from pancyte.errors import PancyteError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

DEFECT = 1
USAGE = 2
INPUT = 3
RESOURCE = 4
INTERRUPTED = 130
TERMINATED = 143

_SMALLER = {
    "predict": "take smaller tiles (--set tiling.tile=256), or use --set device=cpu",
    "evaluate": "take smaller tiles (--set predict.tiling.tile=256), or use --set device=cpu",
    "train": "train on less at a time (--set batch=2), or on smaller patches (--set "
    "sampling.patch=128)",
}
"""What a command can do with less memory."""

_RESOURCE_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EFBIG}


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are reported on stderr.

    Parameters
    ----------
    arguments
        What follows ``pancyte`` on the command line.
    """
    # Idle OpenMP threads that spin take the core from the loader and from other programs. Read by
    # the OpenMP runtime when torch loads it, hence here; what the user set is left as it is.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Tensors in large pages of memory, which torch asks for if told to: a network makes and drops
    # hundreds of megabytes for each tile, and a tenth of its time went into small pages.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        with logging_to_stderr():
            code = pancyte.main(list(arguments), prog_name="pancyte", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return USAGE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; the interpreter must not flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else DEFECT
    except BaseException as error:  # noqa: BLE001 - the one place where every error ends
        return _report(error, arguments)
    return code if isinstance(code, int) else 0


def exit_code(error: BaseException) -> int:
    """Return the exit code that an error ends the command with."""
    if isinstance(error, PancyteError):
        return error.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, MemoryError) or _is_out_of_torch_memory(error):
        return RESOURCE
    if isinstance(error, OSError) and error.errno in _RESOURCE_ERRNOS:
        return RESOURCE
    if isinstance(error, OSError) and error.filename is not None:
        return INPUT
    return DEFECT


def _report(error: BaseException, arguments: Sequence[str]) -> int:
    code = exit_code(error)
    if "--debug" in arguments:
        traceback.print_exception(error)
    command = next((word for word in arguments if not word.startswith("-")), "")
    click.echo(_sentence(error, code, command), err=True)
    return code


def _sentence(error: BaseException, code: int, command: str) -> str:
    if isinstance(error, PancyteError):
        return f"Error: {error}"
    if code == INTERRUPTED:
        return "Interrupted."
    if isinstance(error, OSError) and code != DEFECT:
        where = f"{error.filename}: " if error.filename else ""
        return f"Error: {where}{error.strerror or error}."
    if code == RESOURCE:
        smaller = f", {_SMALLER[command]}" if command in _SMALLER else ""
        return f"Error: out of memory ({_first_line(error)}). Close other programs{smaller}."
    return (
        f"Error: a defect of pancyte, not of your input: {type(error).__name__}: "
        f"{_first_line(error)}. {_save_traceback(error)}; please report it."
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _is_out_of_torch_memory(error: BaseException) -> bool:
    """Tell whether torch could not allocate memory, without importing torch to find out."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _save_traceback(error: BaseException) -> str:
    """Write the traceback into the temporary folder, and return where to find it in words."""
    text = f"pancyte {' '.join(sys.argv[1:])}\n\n{''.join(traceback.format_exception(error))}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="pancyte-crash-", suffix=".txt", encoding="utf-8", delete=False
        ) as stream:
            stream.write(text)
    except OSError:
        return "Repeat the command with --debug for the traceback"
    return f"The traceback is in {stream.name}"


def _terminate(_: int, __: FrameType | None) -> NoReturn:
    click.echo("Terminated.", err=True)
    sys.exit(TERMINATED)
