"""TIFF files that are not what they say."""

from __future__ import annotations

import logging
import struct

import numpy as np
import pytest
import tifffile

from pancyte.errors import InputError
from pancyte.io.images import read_image


@pytest.mark.parametrize("bigtiff", [False, True])
def test_pages_in_a_circle_are_refused(tmp_path, bigtiff):
    path = tmp_path / "a.tif"
    pages = np.zeros((2, 8, 9), np.uint8)
    tifffile.imwrite(path, pages, photometric="minisblack", bigtiff=bigtiff, metadata=None)
    with tifffile.TiffFile(path) as tif:
        first, position = tif.pages[0].offset, tif.pages.next_page_offset
    content = bytearray(path.read_bytes())
    struct.pack_into("<Q" if bigtiff else "<I", content, position, first)
    path.write_bytes(content)
    with pytest.raises(InputError, match="its pages refer to each other in a circle"):
        read_image(path)


def test_a_page_beyond_the_end_is_refused_not_dropped(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, byteorder=">") as writer:
        for _ in range(3):
            writer.write(np.zeros((8, 9), np.uint8), metadata=None, contiguous=False)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        last = tif.pages[2].offset
    path.write_bytes(content[: last + 1])
    with pytest.raises(InputError, match=rf"truncated: page 3 begins at byte {last}, but the file"):
        read_image(path)


def test_planes_that_only_the_metadata_knows_are_refused_not_zero(tmp_path):
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "CYX"}
    tifffile.imwrite(
        path, np.ones((2, 8, 9), np.uint8), ome=True, photometric="minisblack", metadata=metadata
    )
    content = path.read_bytes().replace(b'SizeC="2"', b'SizeC="4"')
    content = content.replace(b'PlaneCount="2"', b'PlaneCount="4"')
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"planes are missing|parts of its pixels are missing"):
        read_image(path)


def test_pixels_beyond_the_end_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((30, 64, 64), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 70_000])
    with pytest.raises(InputError, match="is truncated|is damaged"):
        read_image(path)


def test_a_pyramid_is_read_at_its_full_size(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(np.ones((64, 64), np.uint8), subifds=1)
        writer.write(np.ones((32, 32), np.uint8), subfiletype=1)
    assert read_image(tmp_path / "a.tif").image.pixels.shape == (1, 64, 64)


def test_what_tifffile_logs_becomes_a_note(tmp_path, caplog, capfd):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((8, 9), np.uint8), software="x", metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        software = tif.pages[0].tags["Software"].offset
    struct.pack_into("<H", content, software + 2, 99)  # a type that does not exist
    path.write_bytes(content)
    with caplog.at_level(logging.DEBUG):
        read = read_image(path)
    assert read.notes == ("an entry of the file's header is damaged, and was left out",)
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    assert "TiffTag" in caplog.text
    assert capfd.readouterr().err == ""
    assert not logging.getLogger("tifffile").filters


def test_what_tifffile_logs_while_it_decodes_becomes_a_note(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((8, 9), np.uint8))
    decode = tifffile.TiffPageSeries.asarray

    def logging_decode(self):
        for _ in range(2):
            logging.getLogger("tifffile").warning("<Series> OME series is missing 2 frames")
        logging.getLogger("tifffile").warning("<Series> ignoring predictor 3")
        return decode(self)

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", logging_decode)
    notes = read_image(path).notes
    assert notes == ("parts of the image are missing from the file, and were read as 0",)


def test_a_file_without_pages_is_refused(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0\0\0\0\0")
    with pytest.raises(InputError, match=r"a\.tif: (holds no image|cannot be read as TIFF)"):
        read_image(tmp_path / "a.tif")


def test_a_stack_without_the_distance_of_its_slices_has_no_spacing(tmp_path):
    metadata = {"axes": "ZYX", "unit": "um"}
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((2, 8, 9), np.uint8), imagej=True, resolution=(2, 2), metadata=metadata
    )
    assert read_image(path).image.spacing is None  # the distance of the slices is not given
