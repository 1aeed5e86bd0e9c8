"""Tables and documents on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pancyte.errors import InputError
from pancyte.io.tables import read_csv, read_json, write_csv, write_json

FIXTURES = [HealthCheck.function_scoped_fixture]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=8)


@settings(max_examples=40, deadline=None, suppress_health_check=FIXTURES)
@given(rows=st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_read_csv_returns_the_text_that_was_written(tmp_path, rows):
    columns = {"a": [a for a, _ in rows], "b, quoted": [b for _, b in rows]}
    write_csv(tmp_path / "a.csv", columns)
    assert read_csv(tmp_path / "a.csv") == columns


@settings(max_examples=40, deadline=None, suppress_health_check=FIXTURES)
@given(values=st.lists(st.floats(), max_size=5), width=st.sampled_from([np.float32, np.float64]))
def test_write_csv_writes_floats_so_that_they_come_back(tmp_path, values, width):
    with np.errstate(over="ignore"):
        column = np.array(values, width)
    write_csv(tmp_path / "a.csv", {"x": column})
    np.testing.assert_array_equal(np.array(read_csv(tmp_path / "a.csv")["x"], width), column)


def test_write_csv_writes_each_kind_of_value(tmp_path):
    columns = {"x": [None, True, np.int64(3), 2.0, float("nan"), np.float32(0.1), "a,b"]}
    write_csv(tmp_path / "a.csv", columns)
    text = (tmp_path / "a.csv").read_bytes().decode()
    assert text == 'x\r\n""\r\ntrue\r\n3\r\n2\r\nnan\r\n0.1\r\n"a,b"\r\n'


def test_write_csv_refuses_columns_of_unequal_length(tmp_path):
    with pytest.raises(ValueError, match=r"equal length, but got \{'a': 1, 'b': 2\}"):
        write_csv(tmp_path / "a.csv", {"a": [1], "b": [1, 2]})


def test_read_csv_accepts_what_spreadsheets_write(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfimage,split\r\na.png,train\r\n\r\n")
    assert read_csv(tmp_path / "a.csv") == {"image": ["a.png"], "split": ["train"]}


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty. A table begins with a line of column names"),
        (b"a,b\n1\n", "row 2 has 1 fields, but there are 2 columns"),
        (b"a,a\n1,2\n", r"has a column name twice in \['a', 'a'\]"),
        (b"a\n\xff\n", "cannot be read as CSV in UTF-8"),
        (b'a\n"open\n', "cannot be read as CSV"),
    ],
)
def test_read_csv_says_what_is_wrong(tmp_path, content, match):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=match):
        read_csv(tmp_path / "a.csv")


def test_read_csv_and_read_json_name_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"a\.csv: no such table"):
        read_csv(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"a\.json: no such file"):
        read_json(tmp_path / "a.json")


def test_write_json_writes_what_json_has(tmp_path):
    document = {
        "nan": float("nan"),
        "array": np.array([1.5, np.inf], np.float32),
        "path": Path("a") / "b",
        "tuple": (np.int64(1), "é"),
        "set": {3, 1},
        "nested": [{"x": None}],
    }
    write_json(tmp_path / "a.json", document)
    assert read_json(tmp_path / "a.json") == {
        "nan": None,
        "array": [1.5, None],
        "path": str(Path("a") / "b"),
        "tuple": [1, "é"],
        "set": [1, 3],
        "nested": [{"x": None}],
    }


def test_write_json_refuses_what_json_has_not(tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(tmp_path / "a.json", {"x": object()})


def test_read_json_says_what_is_wrong(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_json(tmp_path / "a.json")
