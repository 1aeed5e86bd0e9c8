from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from pancyte.workflows.interruption import Interrupted, Interruption


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Leave the handlers of the test runner as they were, whatever happens."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_no_signal_changes_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        interruption.check()
    interruption.act()
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_is_kept_back_until_act() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted):
            interruption.check()
    with pytest.raises(KeyboardInterrupt):
        interruption.act()


def test_sigterm_does_what_it_did_before() -> None:
    received = []
    signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGTERM)
        assert received == []
    interruption.act()
    assert received == [signal.SIGTERM]


def test_a_second_ctrl_c_stops_at_once() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Interruption():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_thread_sets_no_handlers() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with Interruption() as interruption:
            interruption.check()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_signal_to_another_process_interrupts_this_one_too() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Interruption() as interruption:
        interruption.follow()
        with pytest.raises(Interrupted):
            interruption.check()
        with pytest.raises(KeyboardInterrupt):
            interruption.act()
