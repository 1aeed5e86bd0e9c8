"""Reading images: what is read from which header, and the sentences where a header is silent."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from pancyte.errors import InputError, ResourceError, UsageError
from pancyte.io.images import find_images, read_image

FIXTURES = [HealthCheck.function_scoped_fixture]
ASK = r"does not say what each axis is\. Give --axes"


def _values(shape, dtype="uint8"):
    count = int(np.prod(shape))
    if np.dtype(dtype) == bool:
        return (np.arange(count).reshape(shape) % 3) == 0
    return (np.arange(count).reshape(shape) % 251).astype(dtype)


def _tiff(shape, dtype="uint8", *, kind="", **options):
    def write(path):
        opened = {kind: True} if kind else {}
        options.setdefault("photometric", "minisblack")
        with tifffile.TiffWriter(path, **opened) as writer:
            writer.write(_values(shape, dtype), **options)

    return write


def _pages(*shapes):
    def write(path):
        with tifffile.TiffWriter(path) as writer:
            for shape in shapes:
                writer.write(_values(shape), metadata=None, photometric="minisblack")

    return write


def _pillow(shape, mode=None, **options):
    def write(path):
        image = PillowImage.fromarray(_values(shape))
        if mode == "P":
            image = image.quantize(8)
        elif mode is not None:
            image = image.convert(mode)
        image.save(path, **options)

    return write


# name of the file, how it is written, axes that are read and shape, or the sentence
INPUTS = {
    "plain 2D": ("a.tif", _tiff((20, 30), metadata=None), "YX", (1, 20, 30)),
    "upper case": ("a.TIFF", _tiff((20, 30), "uint16"), "YX", (1, 20, 30)),
    "float": ("a.tif", _tiff((20, 30), "float64"), "YX", (1, 20, 30)),
    "signed": ("a.tif", _tiff((20, 30), "int16"), "YX", (1, 20, 30)),
    "1-bit": ("a.tif", _tiff((20, 30), "bool", metadata=None), "YX", (1, 20, 30)),
    "one row": ("a.tif", _tiff((1, 30), metadata=None), "YX", (1, 1, 30)),
    "one pixel": ("a.tif", _tiff((1, 1), metadata=None), "YX", (1, 1, 1)),
    "RGB": ("a.tif", _tiff((20, 30, 3), photometric="rgb"), "YXC", (3, 20, 30)),
    "RGB of 256": ("a.tif", _tiff((256, 256, 3), photometric="rgb"), "YXC", (3, 256, 256)),
    "RGB in planes": (
        "a.tif",
        _tiff((3, 20, 30), photometric="rgb", planarconfig="separate", metadata=None),
        "CYX",
        (3, 20, 30),
    ),
    "RGBA": ("a.tif", _pillow((20, 30, 3), "RGBA"), "YXC", (3, 20, 30)),
    "5 samples": (
        "a.tif",
        _tiff((20, 30, 5), planarconfig="contig", metadata=None),
        "YXC",
        (5, 20, 30),
    ),
    "30 planes": ("a.tif", _tiff((30, 64, 64), metadata=None), ASK, None),
    "30 shaped planes": ("a.tif", _tiff((30, 64, 64)), ASK, None),
    "3 planes": ("a.tif", _pages((20, 30), (20, 30), (20, 30)), ASK, None),
    "float, 3 last": ("a.tif", _tiff((64, 64, 3), "float32", metadata=None), ASK, None),
    "stack of RGB": ("a.tif", _tiff((7, 20, 30, 3), photometric="rgb", metadata=None), ASK, None),
    "pages of two sizes": (
        "a.tif",
        _pages((20, 30), (10, 15)),
        r"holds 2 images \(shapes \(20, 30\), \(10, 15\)\)",
        None,
    ),
    "named stack": ("a.tif", _tiff((30, 20, 25), metadata={"axes": "ZYX"}), "ZYX", (1, 30, 20, 25)),
    "named channels": ("a.tif", _tiff((4, 20, 25), metadata={"axes": "CYX"}), "CYX", (4, 20, 25)),
    "one named plane": ("a.tif", _tiff((1, 20, 25), metadata={"axes": "ZYX"}), "ZYX", (1, 20, 25)),
    "volumetric": (
        "a.tif",
        _tiff((16, 32, 32), volumetric=True, tile=(16, 16, 16), metadata=None),
        "ZYX",
        (1, 16, 32, 32),
    ),
    "ImageJ 2D": ("a.tif", _tiff((20, 30), kind="imagej"), "YX", (1, 20, 30)),
    "ImageJ slices": (
        "a.tif",
        _tiff((30, 20, 25), kind="imagej", metadata={"axes": "ZYX"}),
        "ZYX",
        (1, 30, 20, 25),
    ),
    "ImageJ channels": (
        "a.tif",
        _tiff((2, 20, 25), kind="imagej", metadata={"axes": "CYX"}),
        "CYX",
        (2, 20, 25),
    ),
    "ImageJ hyperstack": (
        "a.tif",
        _tiff((3, 2, 20, 25), "uint16", kind="imagej", metadata={"axes": "ZCYX"}),
        "ZCYX",
        (2, 3, 20, 25),
    ),
    "ImageJ frames": (
        "a.tif",
        _tiff((5, 20, 25), kind="imagej", metadata={"axes": "TYX"}),
        r"is a time series of 5 frames.*Save each frame",
        None,
    ),
    "OME channels": (
        "a.ome.tif",
        _tiff((2, 20, 25), kind="ome", metadata={"axes": "CYX"}),
        "CYX",
        (2, 20, 25),
    ),
    "OME 5D": (
        "a.ome.tif",
        _tiff((1, 3, 2, 20, 25), kind="ome", metadata={"axes": "TZCYX"}),
        "ZCYX",
        (2, 3, 20, 25),
    ),
    "OME frames": (
        "a.ome.tif",
        _tiff((4, 3, 2, 20, 25), kind="ome", metadata={"axes": "TZCYX"}),
        r"is a time series of 4 frames",
        None,
    ),
    "1D": (
        "a.tif",
        lambda path: tifffile.imwrite(path, np.zeros(20)),
        r"has 1 axes \(shape \(20,\)",
        None,
    ),
    "6D": ("a.tif", _tiff((2, 2, 2, 2, 8, 8)), r"has 6 axes .*at most", None),
    "complex": ("a.tif", _tiff((20, 30), "complex64"), r"has complex64 pixels", None),
    "CMYK": (
        "a.tif",
        _tiff((20, 30, 4), photometric="separated", planarconfig="contig", metadata=None),
        r"colors of the kind SEPARATED. Save it as gray or RGB",
        None,
    ),
    "PNG": ("a.png", _pillow((20, 30)), "YX", (1, 20, 30)),
    "PNG upper case": ("a.PNG", _pillow((20, 30)), "YX", (1, 20, 30)),
    "PNG RGB": ("a.png", _pillow((20, 30, 3)), "YXC", (3, 20, 30)),
    "PNG palette": ("a.png", _pillow((20, 30, 3), "P"), "YXC", (3, 20, 30)),
    "PNG 1-bit": ("a.png", _pillow((20, 30), "1"), "YX", (1, 20, 30)),
    "PNG gray alpha": ("a.png", _pillow((20, 30), "LA"), "YXC", (1, 20, 30)),
    "PNG RGBA": ("a.png", _pillow((20, 30), "RGBA"), "YXC", (3, 20, 30)),
    "JPEG": ("a.jpg", _pillow((20, 30)), "YX", (1, 20, 30)),
    "JPEG RGB": ("a.JPeG", _pillow((20, 30, 3)), "YXC", (3, 20, 30)),
    "JPEG CMYK": ("a.jpg", _pillow((20, 30, 3), "CMYK"), r"pixels of mode CMYK", None),
    "BMP": ("a.bmp", _pillow((20, 30)), "YX", (1, 20, 30)),
    "BMP RGB": ("a.BMP", _pillow((20, 30, 3)), "YXC", (3, 20, 30)),
    "BMP palette": ("a.bmp", _pillow((20, 30, 3), "P"), "YXC", (3, 20, 30)),
}


@pytest.mark.parametrize("case", INPUTS)
def test_read_image_believes_the_header_or_asks(tmp_path, case):
    name, write, expected, shape = INPUTS[case]
    write(tmp_path / name)
    if shape is None:
        with pytest.raises(InputError, match=expected) as caught:
            read_image(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    else:
        read = read_image(tmp_path / name)
        assert (read.axes, read.image.pixels.shape) == (expected, shape)
        assert read.image.pixels.dtype == np.float32
        assert not read.notes


@pytest.mark.parametrize(
    ("axes", "shape"), [("ZYX", (1, 30, 20, 25)), ("cyx", (30, 20, 25)), ("YXC", (25, 30, 20))]
)
def test_read_image_takes_the_axes_that_are_given(tmp_path, axes, shape):
    tifffile.imwrite(tmp_path / "a.tif", _values((30, 20, 25)), photometric="minisblack")
    assert read_image(tmp_path / "a.tif", axes=axes).image.pixels.shape == shape


def test_read_image_given_axes_win_over_those_of_the_file(tmp_path):
    _tiff((3, 20, 25), kind="imagej", metadata={"axes": "CYX"})(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif", axes="ZYX").image.ndim == 3


@pytest.mark.parametrize(
    ("axes", "match"),
    [
        ("YX", r"names 2 axes, but the file has 3: shape \(3, 20, 25\), read as CYX"),
        ("QYX", "expected each of Y and X once"),
        ("CZX", "expected each of Y and X once"),
        ("YYX", "expected each of Y and X once"),
    ],
)
def test_read_image_refuses_axes_that_do_not_fit(tmp_path, axes, match):
    _tiff((3, 20, 25), kind="imagej", metadata={"axes": "CYX"})(tmp_path / "a.tif")
    with pytest.raises(UsageError, match=match):
        read_image(tmp_path / "a.tif", axes=axes)


@settings(max_examples=30, deadline=None, suppress_health_check=FIXTURES)
@given(
    axes=st.permutations("CZYX").map("".join) | st.permutations("CYX").map("".join),
    dtype=st.sampled_from(["uint8", "int8", "uint16", "int16", "float16", "float32"]),
    shape=st.tuples(*[st.integers(2, 5)] * 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_read_image_returns_what_was_written(tmp_path, axes, dtype, shape, seed):
    values = np.random.default_rng(seed).normal(0, 1e4, shape[: len(axes)])
    # Whole numbers wrap into the range of the type, in which every value is then present.
    array = (values if dtype[0] == "f" else values.astype(np.int64)).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack", metadata={"axes": axes})
    order = "CZYX" if "Z" in axes else "CYX"
    expected = np.transpose(array, [axes.index(letter) for letter in order])
    np.testing.assert_array_equal(read_image(path, axes=axes).image.pixels, expected)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_read_image_keeps_16_bit_color_exact(tmp_path, suffix):
    import imagecodecs

    pixels = np.random.default_rng(0).integers(0, 2**16, (9, 7, 3)).astype(np.uint16)
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb")
    else:
        path.write_bytes(imagecodecs.png_encode(pixels))
    np.testing.assert_array_equal(read_image(path).image.pixels, pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("value", [0, 255])
def test_read_image_accepts_constant_images(tmp_path, value):
    tifffile.imwrite(tmp_path / "a.tif", np.full((8, 9), value, np.uint8))
    read = read_image(tmp_path / "a.tif")
    assert (read.image.pixels == value).all()
    assert read.replaced == 0


def test_read_image_replaces_what_is_not_finite_by_the_median_of_its_channel(tmp_path):
    array = np.stack([np.full((4, 5), 3.0), np.full((4, 5), 70.0)])
    array[0, 0, :2] = np.nan, np.inf
    array[1, 1, 1] = -np.inf
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", metadata={"axes": "CYX"})
    read = read_image(tmp_path / "a.tif")
    assert read.replaced == 3
    assert (read.image.pixels[0] == 3).all()
    assert (read.image.pixels[1] == 70).all()


def test_read_image_counts_values_beyond_float32_as_infinite(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[1e300, 2.0], [2.0, 2.0]]))
    read = read_image(tmp_path / "a.tif")
    assert (read.replaced, read.image.pixels.max()) == (1, 2)


def test_read_image_refuses_a_channel_without_finite_pixels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full((8, 9), np.nan, np.float32))
    with pytest.raises(
        InputError, match=r"a\.tif: channel 0 holds no finite pixel.*other channels"
    ):
        read_image(tmp_path / "a.tif")


def test_read_image_says_when_the_alpha_channel_is_not_opaque(tmp_path):
    pixels = np.full((4, 5, 4), 255, np.uint8)
    pixels[0, :, 3] = 10
    PillowImage.fromarray(pixels).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").notes == (
        "the alpha channel was dropped; 25.0% of the pixels are not opaque",
    )


def test_read_image_looks_up_the_colors_of_a_palette(tmp_path):
    colors = np.zeros((3, 256), np.uint16)
    colors[:, 7] = 100, 200, 300
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.full((4, 5), 7, np.uint8),
        photometric="palette",
        colormap=colors,
        metadata=None,
    )
    pixels = read_image(tmp_path / "a.tif").image.pixels
    assert pixels[:, 0, 0].tolist() == [100, 200, 300]


def test_read_image_inverts_where_zero_is_white(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.full((4, 5), 5, np.uint8), photometric="miniswhite", metadata=None
    )
    read = read_image(tmp_path / "a.tif")
    assert (read.image.pixels == 250).all()
    assert "0 is white" in read.notes[0]


@pytest.mark.parametrize(
    ("channels", "kept"), [("2,0", [2, 0]), ([1], [1]), ("dapi", [0]), ("Actin, 0", [2, 0])]
)
def test_read_image_chooses_channels(tmp_path, channels, kept):
    array = _values((3, 20, 25))
    names = ["DAPI", "GFP", "actin"]
    metadata = {"axes": "CYX", "Channel": {"Name": names}}
    tifffile.imwrite(
        tmp_path / "a.tif", array, ome=True, photometric="minisblack", metadata=metadata
    )
    image = read_image(tmp_path / "a.tif", channels=channels).image
    np.testing.assert_array_equal(image.pixels, array[kept])
    assert image.channels == tuple(names[i] for i in kept)


@pytest.mark.parametrize(
    ("channels", "match"),
    [
        ("3", r"has no channel '3'. Choose from 0 to 2$|Choose from 0 to 2\."),
        ("DAPI", "has no channel 'DAPI'"),
        ("-1", "has no channel '-1'"),
        ("", "has no channel ''"),
        ([], "no channel is chosen"),
    ],
)
def test_read_image_refuses_channels_that_are_not_there(tmp_path, channels, match):
    _tiff((20, 30, 3), photometric="rgb")(tmp_path / "a.tif")
    with pytest.raises(UsageError, match=match):
        read_image(tmp_path / "a.tif", channels=channels)


@settings(max_examples=20, deadline=None, suppress_health_check=FIXTURES)
@given(spacing=st.tuples(*[st.floats(0.001, 50)] * 3), kind=st.sampled_from(["ome", "imagej"]))
def test_read_image_returns_the_spacing_that_was_written(tmp_path, spacing, kind):
    z, y, x = spacing
    if kind == "ome":
        metadata = {"axes": "ZYX"}
        for axis, size in zip("ZYX", spacing, strict=True):
            # A unit other than the default, so that ignoring it would show.
            metadata |= {f"PhysicalSize{axis}": size * 1e3, f"PhysicalSize{axis}Unit": "nm"}
        options = {"ome": True, "metadata": metadata}
    else:
        options = {
            "imagej": True,
            "metadata": {"axes": "ZYX", "unit": "um", "spacing": z},
            "resolution": (1 / x, 1 / y),
        }
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((2, 4, 5), np.uint8), photometric="minisblack", **options
    )
    assert read_image(tmp_path / "a.tif").image.spacing == pytest.approx(spacing, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "spacing"),
    [
        ({"resolution": (20000, 10000), "resolutionunit": "CENTIMETER"}, (1.0, 0.5)),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (1, 1), "resolutionunit": "CENTIMETER"}, None),
        ({"resolution": (2, 2), "imagej": True, "metadata": {"unit": "pixel"}}, None),
        ({"resolution": (2, 2), "imagej": True, "metadata": {"unit": "micron"}}, (0.5, 0.5)),
        ({"resolution": (2, 2), "imagej": True, "metadata": {"unit": r"\u00B5m"}}, (0.5, 0.5)),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.5}}, None),
    ],
)
def test_read_image_takes_a_size_only_where_it_is_one(tmp_path, options, spacing):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.uint8), **options)
    assert read_image(tmp_path / "a.tif").image.spacing == pytest.approx(spacing)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "u4"])
def test_read_image_keeps_small_types_where_asked_for(tmp_path, order, dtype):
    pixels = np.arange(3 * 6 * 7).reshape(6, 7, 3).astype(order + dtype)
    options = {"photometric": "rgb"} if dtype[0] == "u" else {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=order, **options)
    plain = read_image(tmp_path / "a.tif", axes="YXC").image.pixels
    kept = read_image(tmp_path / "a.tif", axes="YXC", keep_type=True).image.pixels
    assert plain.dtype == np.float32
    assert kept.dtype == {"u1": np.uint8, "u2": np.uint16}.get(dtype, np.float32)
    assert kept.flags.c_contiguous
    np.testing.assert_array_equal(kept, plain)


def test_a_mask_is_kept_in_bytes(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.eye(16, dtype=bool))
    kept = read_image(tmp_path / "a.tif", keep_type=True).image.pixels
    assert kept.dtype == np.uint8
    np.testing.assert_array_equal(kept[0], np.eye(16))


def test_what_keeps_its_type_needs_less_memory(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((100, 200), np.uint16))
    with pytest.raises(InputError, match=r"take 80000 bytes of memory, but 79999 bytes may"):
        read_image(tmp_path / "a.tif", max_bytes=79_999, keep_type=True)
    read_image(tmp_path / "a.tif", max_bytes=80_000, keep_type=True)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((100, 200), np.float32))
    with pytest.raises(InputError, match="take 240000 bytes"):
        read_image(tmp_path / "a.tif", max_bytes=200_000, keep_type=True)


def test_read_image_refuses_a_header_that_claims_more_than_the_memory(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((100, 200), np.uint16))
    with pytest.raises(InputError, match=r"claims uint16 pixels of shape \(100, 200\).*200000 b"):
        read_image(tmp_path / "a.tif", max_bytes=199_999)
    assert read_image(tmp_path / "a.tif", max_bytes=200_000).image.pixels.shape == (1, 100, 200)


def test_read_image_does_not_call_a_file_damaged_where_the_memory_is_short(tmp_path, monkeypatch):
    def fail(*_arguments, **_options):
        raise MemoryError

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.uint16))
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", fail)
    with pytest.raises(ResourceError, match=r"a\.tif: out of memory while it was read as TIFF"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_read_image_refuses_a_bomb_before_it_is_decoded(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    PillowImage.fromarray(np.zeros((4, 5), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    order, at = ("big", 16) if suffix == ".png" else ("little", 18)
    for offset in (at, at + 4):
        content[offset : offset + 4] = (100_000).to_bytes(4, order)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"claims uint8 pixels of shape \(100000, 100000\)"):
        read_image(path, max_bytes=10**9)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".bmp"])
def test_read_image_says_what_is_wrong_with_a_truncated_file(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    if suffix == ".tif":
        tifffile.imwrite(path, pixels, compression="zlib")
    else:
        PillowImage.fromarray(pixels).save(path)
    content = path.read_bytes()
    for size in (20, len(content) // 2, len(content) - 40):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"is damaged|is truncated|damaged or incomplete"):
            read_image(path)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.tif", b"", r"a\.tif: is empty \(0 bytes\)"),
        ("a.tif", b"\x89PNG\r\n\x1a\n....", r"is a PNG file with the suffix \.tif. Rename it to"),
        ("a.jpg", b"%PDF-1.7", r"is a PDF file, not JPEG. Export it"),
        ("a.png", b"<html>", r"is not a PNG file.*begins with b'<html>'"),
        ("a.gif", b"GIF89a", r"\.gif is not a format that can be read. Convert it to one of"),
        ("README", b"hello", r"a name without suffix is not a format"),
    ],
)
def test_read_image_says_what_was_found(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=match):
        read_image(tmp_path / name)


def test_read_image_names_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match=r"none\.tif: no such file"):
        read_image(tmp_path / "none.tif")
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(InputError, match=r"folder\.tif: cannot be opened \(Is a directory\)"):
        read_image(tmp_path / "folder.tif")


def test_find_images_sorts_and_leaves_out_hidden_files_and_our_results(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / ".cache").mkdir()
    (tmp_path / "errors").mkdir()
    (tmp_path / "all.modalities").mkdir()
    for name in ("z.TIF", "a.png", "b/c.jpg", "a_labels.tif", "a_overlay.png", ".h.png",
                 ".cache/x.png", "notes.txt", "errors/a_errors.png", "all.modalities/cluster_1.png",
                 "a_Errors.png"):  # fmt: skip
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["a.png", "b/c.jpg", "z.TIF"]
    assert find_images(tmp_path / "a_labels.tif") == [tmp_path / "a_labels.tif"]


def test_find_images_says_what_it_found_instead(tmp_path):
    (tmp_path / "a.czi").touch()
    with pytest.raises(InputError, match=r"holds no image. Known are \.tif.*1 other files? .*czi"):
        find_images(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        find_images(tmp_path / "none")


def test_read_image_reads_the_demonstration_files(shared_data):
    expected = {
        "xy_16bit_labels__nuclei.tif": ("YX", (1, 427, 423), (0.35, 0.35)),
        "xy_8bit__nuclei_noisy_large.tif": ("YX", (1, 179, 200), None),
        "xyc_16bit__cell_dna_mts_actin.tif": ("CYX", (3, 350, 350), (0.1325, 0.1325)),
        "xyc_16bit__hela-cells.tif": ("YXC", (3, 512, 672), (0.0515, 0.0515)),
        "xyc_8bit__cyto_nuclei.tif": ("CYX", (2, 254, 182), None),
        "xyc_8bit__membranes_nuclei_big.tif": ("CYX", (2, 299, 340), (0.5179, 0.5179)),
        "xyz_8bit__chromosomes.tif": ("ZYX", (1, 40, 152, 126), (0.15, 0.03385, 0.03385)),
        "xyz_8bit__nuclei_autothresh.tif": ("ZYX", (1, 37, 118, 132), (4.0, 0.8286, 0.8286)),
    }
    for name, (axes, shape, spacing) in expected.items():
        read = read_image(shared_data / "format_demo" / name)
        assert (read.axes, read.image.pixels.shape) == (axes, shape), name
        assert (read.image.spacing is None) == (spacing is None), name
        assert read.image.spacing == (spacing and pytest.approx(spacing, rel=1e-3)), name
    with pytest.raises(InputError, match=ASK):
        read_image(shared_data / "examples" / "nuclei_3d_image.tif")


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".bmp"])
def test_read_image_answers_any_damage_with_one_error(tmp_path, suffix, capfd):
    rng = np.random.default_rng(5)
    path = tmp_path / f"a{suffix}"
    pixels = rng.integers(0, 255, (24, 24, 3)).astype(np.uint8)
    if suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb", compression="zlib", ome=True)
    else:
        PillowImage.fromarray(pixels).save(path)
    whole = path.read_bytes()
    outcomes = set()
    for _ in range(60):
        content = bytearray(whole)
        for position in rng.integers(0, min(len(content), 600), 3):
            content[position] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                read_image(path, max_bytes=10**8)
            outcomes.add("read")
        except InputError as error:
            outcomes.add("refused" if str(path) in str(error) else "refused without a name")
    assert outcomes - {"read"} == {"refused"}
    assert capfd.readouterr().err == ""
