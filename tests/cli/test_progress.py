from __future__ import annotations

import sys

from pancyte.cli.progress import image_progress, say_loading, step_progress


def test_progress_is_plain_lines_without_a_terminal(capsys) -> None:
    with image_progress() as report:
        report(0, 2, "")
        report(0, 2, "a.tif: tile 1 of 9")
        report(1, 2, "a.tif: 3 objects")
        report(1, 2, "b.tif: tile 1 of 9")
        report(2, 2, "b.tif: failed")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "[1/2] a.tif: 3 objects\n[2/2] b.tif: failed\n"


def test_progress_is_a_bar_on_a_terminal(capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with image_progress() as report:
        report(1, 2, "cell[1].tif: 3 objects")
    err = capsys.readouterr().err
    assert "1/2" in err
    assert "cell[1].tif" in err


def test_that_it_is_being_loaded_is_said_on_a_terminal_alone(capsys, monkeypatch) -> None:
    say_loading()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    say_loading()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "Loading pancyte; the first time after an installation is slow ...\n"


def test_steps_are_a_bar_on_a_terminal_and_nothing_elsewhere(capsys, monkeypatch) -> None:
    with step_progress() as report:
        assert report is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with step_progress() as report:
        report(3, 40)
    assert "3/40" in capsys.readouterr().err
