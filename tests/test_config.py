from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.config import apply_overrides, from_mapping, read_config, to_mapping, to_toml
from pancyte.errors import ConfigError
from pancyte.params import params
from pancyte.workflows.train_config import TrainConfig


@params
class Decoding:
    min_size: int = 15
    threshold: float | None = 0.5

    def __post_init__(self) -> None:
        if self.min_size < 0:
            raise ValueError(f"Expected min_size to be at least 0, but got {self.min_size}")


@params
class Circle:
    kind: Literal["circle"] = "circle"
    decoding: Decoding = Decoding()
    names: tuple[str, ...] = ("object",)
    size: int | tuple[int, ...] = 1


@params
class Square:
    kind: Literal["square"] = "square"
    side: int = 1


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@settings(deadline=None)
@given(
    min_size=st.integers(0, 1000),
    threshold=st.none() | st.floats(0, 1),
    names=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"])), max_size=3),
)
def test_dump_then_load_is_the_identity(min_size, threshold, names) -> None:
    settings = Circle(decoding=Decoding(min_size=min_size, threshold=threshold), names=tuple(names))
    assert from_mapping(Circle, to_mapping(settings), where="test") == settings


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", 'names = ["cell"]\n[decoding]\nmin_size = 3\nthreshold = 1e-1\n'),
        ("a.yaml", "names: [cell]\ndecoding:\n  min_size: 3\n  threshold: 1e-1\n"),
        ("a.JSON", '{"names": ["cell"], "decoding": {"min_size": 3, "threshold": 1e-1}}'),
    ],
)
def test_read_config_reads_every_format_alike(tmp_path, name, text) -> None:
    expected = Circle(names=("cell",), decoding=Decoding(min_size=3, threshold=0.1))
    assert read_config(write(tmp_path, name, text), Circle) == expected


def test_read_config_chooses_from_a_union_by_kind(tmp_path) -> None:
    from typing import Annotated

    from pydantic import Field

    path = write(tmp_path, "a.toml", 'kind = "square"\nside = 4\n')
    assert read_config(path, Annotated[Circle | Square, Field(discriminator="kind")]) == Square(
        side=4
    )


def test_overrides_win_and_later_ones_win_over_earlier(tmp_path) -> None:
    path = write(tmp_path, "a.toml", "[decoding]\nmin_size = 3\n")
    settings = read_config(
        path, Circle, ["decoding.min_size=7", "decoding.min_size=9", "names=['a', 'b']"]
    )
    assert settings == Circle(names=("a", "b"), decoding=Decoding(min_size=9))


def test_none_is_kept_where_it_is_not_the_default(tmp_path) -> None:
    """Left out of the file, it would come back as the default without a word."""
    settings = Circle(decoding=Decoding(threshold=None))
    assert read_config(write(tmp_path, "a.toml", to_toml(to_mapping(settings))), Circle) == settings
    path = write(tmp_path, "b.toml", "")
    for text in ("none", "None", "null"):
        assert read_config(path, Circle, [f"decoding.threshold={text}"]) == settings


def test_overrides_leave_the_mapping_alone() -> None:
    mapping = {"decoding": {"min_size": 3}}
    apply_overrides(mapping, ["decoding.min_size=5"])
    assert mapping == {"decoding": {"min_size": 3}}


def test_toml_round_trip(tmp_path) -> None:
    settings = Circle(names=("nucleus", "zelle µ"))
    assert read_config(write(tmp_path, "a.toml", to_toml(to_mapping(settings))), Circle) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[decoding]\nmin_szie = 3\n",
            r"a\.toml: unknown key 'decoding\.min_szie' \(did you mean 'min_size'\?\)",
        ),
        ("decodng = 3\n", r"unknown key 'decodng' \(did you mean 'decoding'\?\)"),
        ("xyzzy = 3\n", r"unknown key 'xyzzy'$"),
        (
            "[decoding]\nmin_size = 'many'\n",
            r"decoding\.min_size: expected a whole number, got 'many'$",
        ),
        (
            "[decoding]\nmin_size = -1\n",
            r"decoding: Expected min_size to be at least 0, but got -1$",
        ),
        (
            "[decoding]\nthreshold = nan\n",
            r"decoding\.threshold: expected a finite number, got nan",
        ),
        ("names = 3", r"names: expected a list, such as \[0\.5, 0\.75\], got 3$"),
        ("size = 'x'", r"size: expected a whole number, got 'x' or .*expected a list[^;]*$"),
        ("names = \n", r"a\.toml: not valid TOML"),
        ("names = ['a']\nnames = ['b']\n", r"not valid TOML"),
        ("kind = 'square'\n", r"kind: .*'circle'"),
    ],
)
def test_bad_toml_names_the_key(tmp_path, text, message) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(write(tmp_path, "a.toml", text), Circle)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: *x\n", "anchors and aliases are not accepted"),
        ("names: [a]\nnames: [b]\n", "a key stands twice"),
        ("- 1\n- 2\n", "expected a table of keys and values, but got list"),
        ("a: !!python/object:os.system x\n", "not valid YAML"),
    ],
)
def test_bad_yaml_is_refused(tmp_path, text, message) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(write(tmp_path, "a.yaml", text), Circle)


def test_missing_file_and_unknown_format(tmp_path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        read_config(tmp_path / "a.toml", Circle)
    with pytest.raises(ConfigError, match=r"expected a \.toml, \.yaml or \.json.*got '\.ini'"):
        read_config(tmp_path / "a.ini", Circle)
    (tmp_path / "b.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "b.toml", Circle)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("min_size", "expected key=value"),
        ("=3", "expected key=value"),
        ("decoding..x=3", "expected key=value"),
        ("decoding.min_size.x=3", "decoding.min_size is a value, not a table"),
    ],
)
def test_bad_overrides_say_what_was_expected(override, message) -> None:
    with pytest.raises(ConfigError, match=message):
        apply_overrides({"decoding": {"min_size": 3}}, [override])


def test_names_are_taken_in_any_letter_case() -> None:
    base = {"data": [{"path": "a"}], "out": "b"}
    settings = {"optimizer": "AdamW", "schedule": "COSINE"}
    config = from_mapping(TrainConfig, {**base, "optimization": settings}, where="f")
    assert (config.optimization.optimizer, config.optimization.schedule) == ("adamw", "cosine")
    task = {"kind": "Flow", "architecture": {"kind": "Encoder_Decoder", "decoder": "UNet"}}
    config = from_mapping(TrainConfig, {**base, "task": task}, where="f")
    assert config.task.architecture.decoder == "unet"
    assert settings["optimizer"] == "AdamW"


def test_a_name_that_is_not_known_is_answered_by_all_that_are_and_the_nearest() -> None:
    settings = {"schedule": "CosineAnnealing"}
    mapping = {"data": [{"path": "a"}], "out": "b", "optimization": settings}
    with pytest.raises(ConfigError, match=r"'exponential', got .*\(did you mean 'cosine'\?\)"):
        from_mapping(TrainConfig, mapping, where="f")
