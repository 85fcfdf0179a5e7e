"""What is made of an upload is bounded: slices, pixels, bytes of one visit and of the server, and work at a rerun."""

import gc

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests import hostile
from tests.upload_files import AXIAL, dicom_bytes, dicom_slice, nifti_bytes, png_bytes, tiff_bytes
from unet.preprocessing import brain_mask, intensity_statistics, thinned
from unet.scans import budget, domain_check
from unet.scans.assemble import build_volume
from unet.scans.budget import Budget
from unet.scans.mapping import Channel
from unet.scans.reader import read_files
from unet.scans.scan import IngestError
from views.upload import steps


def reading(*files: tuple[str, bytes]) -> tuple[list[tuple[int, ...]], list[str]]:
    scans, problems = read_files(list(files))
    return [scan.voxels.shape for scan in scans], problems


def test_more_slices_than_a_head_has_are_refused_in_every_format():
    pages = np.zeros((601, 16, 16), np.uint8)
    frames = dicom_slice(pages[0], NumberOfFrames=601, PixelData=pages.astype(np.uint16).tobytes())
    for name, content in (
        ("a.tif", tiff_bytes(pages, photometric="minisblack")),
        ("a.nii", nifti_bytes(np.zeros((16, 16, 601), np.uint8))),
        ("a.dcm", dicom_bytes(frames)),
    ):
        assert reading((name, content)) == (
            [],
            [
                f"{name}: 601 slices; at most 600 are allowed. A head in slices of 1 mm has about 200. Upload "
                "the slices of the head alone."
            ],
        )


def test_slices_that_the_page_refuses_are_not_decoded(monkeypatch):
    monkeypatch.setattr("unet.scans.formats.dicom_pixels.pixel_array", lambda *_, **__: pytest.fail("decoded"))
    found, problems = reading(*hostile.corpus()["dicom_jpeg_of_4096_squared"][1])
    assert found == []
    assert problems[0].startswith("a.dcm: slices of 4,096 × 4,096 pixels; expected at most 2,048 a side")


def test_a_stack_of_pictures_keeps_its_first_slices():
    picture = png_bytes(np.full((16, 16), 9, np.uint8))
    scans, problems = read_files([(f"{number}.png", picture) for number in range(700)])
    assert [len(scan.voxels) for scan in scans] == [600]
    assert problems == []
    assert scans[0].notes == (
        "700 pictures of one size; the first 600 joined as slices, in the order of the numbers in their names.",
    )


def test_an_interlaced_png_may_have_fewer_pixels():
    (found, problems) = reading(*hostile.corpus()["png_interlaced_of_63_megapixels"][1])
    assert found == []
    assert problems == [
        "a.png: an interlaced PNG of 63 megapixels; at most 16 are allowed. Save it without interlacing."
    ]


@pytest.mark.parametrize("size", ["1e-300", "1e300", "1e-5", "1e5"])
@pytest.mark.parametrize("part", ["rows", "columns", "slices"])
def test_impossible_sizes_of_a_voxel_count_as_unknown(part, size):
    [case] = [name for name in hostile.corpus() if name.startswith(f"dicom_{part}_{size}_mm")]
    [scan], problems = read_files(hostile.corpus()[case][1])
    assert (scan.spacing, problems) == (None, [])


def test_the_server_counts_arrays_for_as_long_as_they_live():
    server = Budget(1000)
    first = server.hold(np.zeros(600, np.uint8))
    part = first[:10]
    with pytest.raises(IngestError, match=r"has 0 MB left for the uploads of all visitors; this one needs 0 MB"):
        server.hold(np.zeros(401, np.uint8))
    del first
    gc.collect()
    assert server.left == 400  # a view keeps it
    del part
    gc.collect()
    assert server.left == 1000


def test_scans_and_volumes_count(monkeypatch):
    monkeypatch.setattr(budget, "SERVER", Budget(64 * 64 * 4 * 5))
    from unet.scans.sandbox import read_upload

    scans, _ = read_upload(hostile.good()["dicom"])  # one channel of 64 × 64 float32
    volume, _ = build_volume(scans, (None, Channel(0, 0), None))  # three
    assert budget.SERVER.left == 64 * 64 * 4
    with pytest.raises(IngestError, match="Try again in a few minutes, or upload less"):
        build_volume(scans, (None, Channel(0, 0), None))
    del scans, volume
    gc.collect()
    assert budget.SERVER.left == 64 * 64 * 4 * 5


def test_resampling_is_bounded(monkeypatch):
    shifted = AXIAL.copy()
    shifted[0, 3] += 0.7
    voxels = np.zeros((64, 64, 6), np.uint8)
    scans, _ = read_files([("flair.nii", nifti_bytes(voxels)), ("t1.nii", nifti_bytes(voxels, shifted))])
    pre, flair = Channel(1, 0), Channel(0, 0)
    assert len(build_volume(scans, (pre, flair, pre))[0]) == 6
    monkeypatch.setattr("unet.scans.assemble.MAX_RESAMPLED", 40_000)
    assert len(build_volume(scans, (pre, flair, None))[0]) == 6  # 24,576 voxels
    with pytest.raises(IngestError, match="2 of the sequences need resampling onto the 6 × 64 × 64 voxels of FLAIR"):
        build_volume(scans, (pre, flair, pre))


def test_large_volumes_are_measured_on_a_coarser_grid():
    disc = np.repeat(hostile.slice_image(64)[..., np.newaxis], 3, axis=2)
    small = np.stack([disc.repeat(8, 0).repeat(8, 1)] * 2)  # 512 × 512
    large = np.stack([disc.repeat(32, 0).repeat(32, 1)] * 2)  # 2048 × 2048
    assert thinned(small)[1] == 1
    assert thinned(large)[0].shape == (2, 1024, 1024, 3)
    np.testing.assert_allclose(intensity_statistics(large).mean, intensity_statistics(small).mean, rtol=0.02)
    brain = brain_mask(large)
    assert brain.shape == (2, 2048, 2048)
    np.testing.assert_array_equal(brain[:, ::4, ::4], brain_mask(small))


def test_the_domain_check_looks_at_fewer_slices_when_they_are_large(monkeypatch):
    seen = []
    original = domain_check.head_mask
    monkeypatch.setattr(domain_check, "head_mask", lambda images: seen.append(images.shape) or original(images))
    for side in (256, 512, 1024, 2048):
        domain_check.measure(np.zeros((24, side, side, 3), np.uint8))
    assert seen == [(16, 256, 256, 3), (8, 512, 512, 3), (2, 1024, 1024, 3), (1, 2048, 2048, 3)]


def test_a_rerun_computes_nothing_again(monkeypatch):
    st.cache_data.clear()
    st.cache_resource.clear()
    app = AppTest.from_file("../pages/upload.py", default_timeout=120)
    app.run()
    files = [("1.png", png_bytes(hostile.slice_image(seed=1))), ("2.png", png_bytes(hostile.slice_image(seed=2)))]
    app.file_uploader[0].set_value([(name, content, "image/png") for name, content in files])
    app.run()
    assert not app.exception
    for name in ("compare", "build_volume_and_mask", "brain_mask", "intensity_statistics", "read_all"):
        monkeypatch.setattr(steps, name, lambda *_, name=name, **__: pytest.fail(name))
    for name in ("collage", "picture"):
        monkeypatch.setattr(f"views.upload.found.{name}", lambda *_, name=name: pytest.fail(name))
    app.run()
    assert not app.exception
