from __future__ import annotations

import pytest

from pancyte import errors


@pytest.mark.parametrize(
    ("error", "builtin", "code"),
    [
        (errors.PancyteError, Exception, 1),
        (errors.UsageError, ValueError, 2),
        (errors.ConfigError, ValueError, 2),
        (errors.InputError, ValueError, 3),
        (errors.CheckpointError, ValueError, 3),
        (errors.ResourceError, OSError, 4),
        (errors.PartialError, Exception, 5),
    ],
)
def test_every_error_has_its_exit_code_and_its_builtin(error, builtin, code) -> None:
    assert error.exit_code == code
    assert issubclass(error, builtin)
    assert issubclass(error, errors.PancyteError)


@pytest.mark.parametrize(
    ("items", "text"),
    [([], ""), ([1], "1"), ([1, 2], "1, 2"), ([1, 2, 3], "1, 2 and 1 more")],
)
def test_a_list_in_a_message_stays_short(items, text) -> None:
    assert errors.listed(iter(items), most=2) == text


def test_the_table_is_complete() -> None:
    defined = {name for name in vars(errors) if name.endswith("Error")}
    assert len(defined) == 7
