from __future__ import annotations

import logging

from pancyte.cli.logs import logging_to_stderr


def test_log_lines_go_to_stderr_while_a_command_runs(capsys) -> None:
    logger = logging.getLogger("pancyte.somewhere")
    before = logging.getLogger("pancyte").handlers.copy()
    with logging_to_stderr():
        logger.info("3 images")
        logger.warning("a.tif: is odd")
        logger.debug("not shown")
    logger.info("not shown either")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "3 images\nWarning: a.tif: is odd\n"
    assert logging.getLogger("pancyte").handlers == before
