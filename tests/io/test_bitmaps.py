"""PNG, JPEG and BMP files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PillowImage

from pancyte.errors import InputError
from pancyte.io.bitmaps import write_png
from pancyte.io.images import read_image


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 3)])
def test_write_png_and_read_image_are_inverse(tmp_path, dtype, shape):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    write_png(tmp_path / "a.png", pixels)
    expected = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").image.pixels, expected)


def test_write_png_refuses_floats(tmp_path):
    with pytest.raises(TypeError, match="uint8 or uint16, but got float64"):
        write_png(tmp_path / "a.png", np.zeros((4, 5)))


def test_a_png_with_one_wrong_bit_is_refused(tmp_path):
    write_png(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png: cannot be read as PNG"):
        read_image(tmp_path / "a.png")


def test_an_animation_is_refused(tmp_path):
    frames = [PillowImage.new("L", (8, 8), value) for value in (0, 100)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=r"is an animation. Save each frame"):
        read_image(tmp_path / "a.png")


def test_an_orientation_in_the_metadata_does_not_turn_the_pixels(tmp_path):
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    PillowImage.new("L", (9, 5)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").image.pixels.shape == (1, 5, 9)
