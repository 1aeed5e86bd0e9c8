from __future__ import annotations

import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.inference.lanes import in_lanes, num_lanes
from pancyte.runtime import using_threads


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, 9), lanes=st.integers(1, 4))
def test_results_come_in_the_order_of_the_items(count, lanes):
    def slower_first(item):
        time.sleep(0.002 * (item % 3 == 0))
        return 10 * item

    found = list(in_lanes(slower_first, range(count), count=count, lanes=lanes))
    assert found == [10 * item for item in range(count)]


def test_lanes_work_at_the_same_time():
    both = threading.Barrier(2, timeout=20)
    # Each waits for the other.
    assert list(in_lanes(lambda _: both.wait() >= 0, range(4), count=4, lanes=2)) == [True] * 4


def test_no_more_items_are_taken_than_lanes_hold():
    taken = []

    def items():
        for item in range(8):
            taken.append(item)
            yield item

    results = in_lanes(lambda item: item, items(), count=8, lanes=2)
    assert next(results) == 0
    assert len(taken) == 2
    results.close()
    assert len(taken) == 2


def test_lanes_share_the_threads_and_give_them_back():
    with using_threads(4):
        shares = list(in_lanes(lambda _: torch.get_num_threads(), range(5), count=5, lanes=2))
        assert shares == [2, 2, 2, 2, 4]
        assert torch.get_num_threads() == 4


def test_an_error_in_a_lane_reaches_the_caller():
    def fail(item):
        if item == 1:
            raise ValueError("damaged")
        return item

    threads = torch.get_num_threads()
    with pytest.raises(ValueError, match="damaged"):
        list(in_lanes(fail, range(6), count=6, lanes=2))
    assert torch.get_num_threads() == threads


def test_only_a_cpu_has_lanes():
    with using_threads(3):
        assert num_lanes(torch.device("cpu")) == 3
        assert num_lanes(torch.device("cuda")) == 1
    with using_threads(16):
        assert num_lanes(torch.device("cpu")) == 4
