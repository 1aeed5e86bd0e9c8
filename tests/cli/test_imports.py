import gc
import subprocess
import sys

from pancyte.cli.imports import without_garbage_collection

PROGRAM = """
import gc
from pancyte.cli.imports import without_garbage_collection
try:
    with without_garbage_collection():
        assert not gc.isenabled()
        import torch
        raise RuntimeError
except RuntimeError:
    pass
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000
frozen = gc.get_freeze_count()
with without_garbage_collection():
    assert gc.isenabled()
assert gc.get_freeze_count() == frozen
"""

LOADED = """
import sys
from pancyte.workflows.predict import predict
unwanted = {"scipy.sparse", "sklearn", "matplotlib", "timm", "onnx", "pandas"}
assert not unwanted & sys.modules.keys(), unwanted & sys.modules.keys()
"""


def run(program):
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def test_nothing_is_collected_while_torch_is_imported_and_what_it_made_never_is():
    result = run(PROGRAM)

    assert result.returncode == 0, result.stderr


def test_a_program_that_collects_nothing_keeps_to_that():
    gc.disable()
    try:
        with without_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_prediction_loads_no_libraries_that_it_does_not_need():
    result = run(LOADED)

    assert result.returncode == 0, result.stderr
