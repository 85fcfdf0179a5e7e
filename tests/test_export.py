"""Out again: masks on the voxels they were drawn on, in files that other tools open, without the patient."""

import csv
import gzip
import io
import zipfile
from dataclasses import replace
from typing import Any

import cv2
import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.valuerep import DSfloat

from tests.hostile import slice_image, stack
from tests.segmentations import files_of, series, valid
from tests.upload_files import (
    AXIAL,
    dicom_bytes,
    dicom_series,
    dicom_slice,
    enhanced_slices,
    nifti_bytes,
    png_bytes,
    tiff_bytes,
)
from unet.data.patients import DEMO_FOLDER, list_patients, load_volume
from unet.export.dicom_seg import REQUIRED, can_be_dicom_seg
from unet.export.dicom_seg import to_dicom_seg as write_dicom_seg
from unet.export.formats import FORMATS, Options
from unet.export.html_report import to_html
from unet.export.result import (
    Result,
    lesion_size,
    mask_pictures,
    to_csv,
    to_nifti,
    to_png,
)
from unet.inference.segmenter import Segmenter
from unet.metrics import dice_score
from unet.scans.assemble import build_volume
from unet.scans.mapping import suggest
from unet.scans.reader import read_files
from unet.scans.scan import IngestError
from unet.weights.network import find_weights

WEIGHTS = find_weights()
SECRETS = (b"Doe", b"SECRET", b"19500101")


def upload(*files):
    """Return scans and the volume of the first mapping."""
    scans, problems = read_files(list(files))
    assert problems == []
    mapping = suggest(scans)[0]
    return scans[mapping[1].scan], build_volume(scans, mapping)[0]


def bright(scan, volume) -> Result:
    """The result of a network that finds what is brighter than 900."""
    mask = (np.asarray(scan.voxels[..., 0]) > 900).astype(np.uint8)
    return Result(scan, volume, mask, 0.5, WEIGHTS, "OpenVINO int8")


def to_dicom_seg(result, keep_patient=False) -> bytes:
    """Every DICOM-SEG that is written here is checked by dciodvfy."""
    return valid(write_dicom_seg(result, keep_patient))


def lesion_in(shape, start, stop) -> np.ndarray:
    """Grey 100 with a block of 1000 between two corners."""
    array = np.full(shape, 100, np.int16)
    array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = 1000
    return array


OBLIQUE = np.array([[0.1, 0.9, 0, -20], [0, 0.1, 4, 10], [-1, 0, 0.3, 7], [0, 0, 0, 1]])


@pytest.mark.parametrize("affine", [AXIAL, np.diag([2.0, 3, 6, 1]), np.diag([-1.0, 1, 1, 1]), OBLIQUE])
@pytest.mark.parametrize("codes", [(0, 2), (1, 0), (1, 1)])
def test_a_lesion_in_a_nifti_comes_back_at_its_voxels(affine, codes):
    array = lesion_in((20, 24, 18), (3, 5, 2), (7, 6, 9))
    image = nibabel.Nifti1Image(array, affine)
    qform, sform = codes
    if codes != (0, 2):
        rigid = affine if affine is not OBLIQUE else AXIAL  # a quaternion holds no shear
        image.set_qform(rigid, qform)
        image.set_sform(rigid if sform else None, sform)
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    result = bright(*upload(("flair.nii", content)))
    back = nibabel.Nifti1Image.from_bytes(gzip.decompress(to_nifti(result)))
    original = nibabel.Nifti1Image.from_bytes(content)
    assert back.shape == original.shape
    np.testing.assert_array_equal(back.affine, original.affine)
    np.testing.assert_array_equal(np.asarray(back.dataobj), array == 1000)
    assert back.header.get_xyzt_units()[0] == "mm"


def test_a_nifti_2_and_one_without_orientation_keep_their_grid():
    array = lesion_in((20, 24, 18), (3, 5, 2), (7, 6, 9))
    for image in (nibabel.Nifti2Image(array, AXIAL), nibabel.Nifti1Image(array, None)):
        result = bright(*upload(("flair.nii", image.to_bytes())))
        back = type(image).from_bytes(gzip.decompress(to_nifti(result)))
        np.testing.assert_array_equal(back.affine, type(image).from_bytes(image.to_bytes()).affine)
        np.testing.assert_array_equal(np.asarray(back.dataobj), array == 1000)


def test_a_dicom_mask_as_nifti_lies_where_the_dicom_does():
    planes = lesion_in((6, 24, 20), (2, 5, 3), (4, 9, 12)).astype(np.uint16)
    result = bright(*upload(*dicom_series(planes, spacing=(6.0, 0.8, 0.9))))
    back = nibabel.Nifti1Image.from_bytes(gzip.decompress(to_nifti(result)))
    np.testing.assert_array_equal(np.asarray(back.dataobj), (planes == 1000).transpose(2, 1, 0))
    # column 3, row 5, slice 2 of DICOM, whose system counts to the left and to the back
    expected = [-(-128 + 3 * 0.9), -(-128 + 5 * 0.8), -60 + 2 * 6]
    assert back.affine is not None
    np.testing.assert_allclose((back.affine @ [3, 5, 2, 1])[:3], expected, atol=1e-4)


def test_a_missing_slice_is_a_gap_in_nifti():
    planes = lesion_in((6, 24, 20), (3, 5, 3), (4, 6, 4)).astype(np.uint16)
    series = dicom_series(planes, shuffle=False)
    result = bright(*upload(*series[:2], *series[3:]))
    assert (result.scan.places, result.scan.spacing) == ((0, 1, 3, 4, 5), (6, 1, 1))
    back = nibabel.Nifti1Image.from_bytes(gzip.decompress(to_nifti(result)))
    array = np.asarray(back.dataobj)
    assert array.shape == (20, 24, 6)
    assert np.argwhere(array).tolist() == [[3, 5, 3]]
    assert back.affine is not None
    np.testing.assert_allclose((back.affine @ [3, 5, 3, 1])[:3], [128 - 3, 128 - 5, -60 + 3 * 6], atol=1e-4)


def test_a_picture_without_geometry_gives_a_nifti_that_claims_none():
    image = slice_image().astype(np.uint16) + (slice_image() > 120).astype(np.uint16) * 1000
    result = bright(*upload(("a.tif", tiff_bytes(image))))
    back = nibabel.Nifti1Image.from_bytes(gzip.decompress(to_nifti(result)))
    assert (int(back.header["qform_code"]), int(back.header["sform_code"])) == (0, 0)
    assert back.header.get_xyzt_units()[0] == "unknown"
    np.testing.assert_array_equal(np.asarray(back.dataobj)[..., 0], (image > 900).T[:, ::-1])


def references_of(scan) -> list[dict]:
    assert scan.source is not None
    return scan.source["references"]


def read_back(content: bytes, references: list[dict]) -> np.ndarray:
    """Return the mask of a DICOM-SEG, (slices, rows, columns), as highdicom finds it for the source images."""
    segmentation = highdicom.seg.segread(io.BytesIO(content))
    options = {"segment_numbers": [1], "ignore_spatial_locations": True, "assert_missing_frames_are_empty": True}
    if references[0]["frame"] is None:
        uids = [reference["instance"] for reference in references]
        return segmentation.get_pixels_by_source_instance(uids, **options)[..., 0]
    frames = [reference["frame"] for reference in references]
    return segmentation.get_pixels_by_source_frame(references[0]["instance"], frames, **options)[..., 0]


def test_a_lesion_in_a_dicom_series_comes_back_in_the_seg_that_refers_to_it():
    planes = lesion_in((6, 24, 20), (2, 5, 3), (4, 9, 12)).astype(np.uint16)
    files = dicom_series(planes, spacing=(6.0, 0.8, 0.9))
    scan, volume = upload(*files)
    content = to_dicom_seg(bright(scan, volume))
    np.testing.assert_array_equal(read_back(content, references_of(scan)), planes == 1000)
    seg = pydicom.dcmread(io.BytesIO(content))
    sources = [pydicom.dcmread(io.BytesIO(one)) for _, one in files]
    assert seg.Modality == "SEG"
    assert seg.SoftwareVersions == f"{WEIGHTS.sha256[:16]}, OpenVINO int8"
    assert (seg.StudyInstanceUID, seg.FrameOfReferenceUID) == ("1.2.3", "1.2.3.5")
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.4"
    named = {one.ReferencedSOPInstanceUID for one in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert named == {one.SOPInstanceUID for one in sources}
    # each frame of the mask lies where the slice it was drawn on lies
    place = {one.SOPInstanceUID: list(one.ImagePositionPatient) for one in sources}
    for group in seg.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert list(group.PlanePositionSequence[0].ImagePositionPatient) == place[source]
    assert not any(secret in content for secret in SECRETS)


def patient_of(content: bytes) -> dict[str, str]:
    seg = pydicom.dcmread(io.BytesIO(content))
    names = (*REQUIRED, "StudyDescription", "IssuerOfPatientID")
    return {name: str(seg[name].value or "") for name in names if name in seg}


def test_the_patient_is_in_a_seg_only_where_that_is_wanted():
    named: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "Hong^Gildong=洪^吉洞=홍^길동",
        "PatientID": "4711",
        "PatientBirthDate": "19500101",
        "PatientSex": "M",
        "StudyDate": "20200102",
        "StudyTime": "101112.5",
        "StudyID": "7",
        "AccessionNumber": "A1",
        "ReferringPhysicianName": "Müller^Anna",
        "StudyDescription": "Schädel",
    }
    scan, volume = upload(*files_of(series(**named)))
    assert "Gildong" not in repr(scan)
    result = bright(scan, volume)
    kept = patient_of(to_dicom_seg(result, keep_patient=True))
    assert kept == {name: value for name, value in named.items() if name != "SpecificCharacterSet"}
    assert set(patient_of(to_dicom_seg(result)).values()) == {""}
    for kind in FORMATS:
        written = kind.one_file(result, Options(keep_patient=kind.name != "dicom-seg"), "a")
        content = written if isinstance(written, bytes) else written.encode()
        assert not any(secret in content for secret in (b"Gildong", "길동".encode(), b"4711", b"Anna"))


def test_words_that_are_no_name_or_date_stay_out_of_a_seg():
    odd: dict[str, Any] = {
        "PatientSex": "?",
        "StudyTime": "late",
        "StudyID": "far longer than sixteen",
        "PatientID": "1\\2",
    }
    scan, volume = upload(*files_of(series(**odd)))
    kept = patient_of(to_dicom_seg(bright(scan, volume), keep_patient=True))
    assert (kept["PatientName"], kept["StudyDate"]) == ("Doe^Jane", "20200102")
    assert {kept[name] for name in odd} == {""}


def test_csv_for_a_german_spreadsheet_has_semicolons_and_decimal_commas():
    planes = lesion_in((6, 24, 20), (2, 5, 3), (4, 9, 12)).astype(np.uint16)
    result = bright(*upload(*dicom_series(planes, spacing=(5.0, 0.5, 2.25))))
    german = to_csv(result, decimal_comma=True)
    assert german.encode().startswith(b"\xef\xbb\xbfslice;lesion_pixels;lesion_mm2;threshold;model;")
    assert german.splitlines()[3].startswith("3;36;40,50;0,50;")
    assert to_csv(result).encode().startswith(b"\xef\xbb\xbfslice,lesion_pixels,")
    assert to_csv(result).splitlines()[3].startswith("3,36,40.50,0.50,")


def test_a_sagittal_series_of_cubes_comes_back_too():
    planes = lesion_in((20, 24, 22), (2, 5, 3), (4, 9, 12)).astype(np.uint16)
    cosines = [0, 1, 0, 0, 0, -1]
    files = [
        (f"{n}", dicom_bytes(dicom_slice(image, (n * 1.0, 0, 0), ImageOrientationPatient=cosines, SliceThickness=1)))
        for n, image in enumerate(planes)
    ]
    scan, volume = upload(*files)
    assert scan.plane == "axial" and scan.voxels.shape == (24, 22, 20, 1)  # looked at from below, 24 rows high
    content = to_dicom_seg(bright(scan, volume))
    in_order = sorted(range(20), key=lambda n: references_of(scan)[n]["position"][0])
    np.testing.assert_array_equal(read_back(content, references_of(scan))[in_order], planes == 1000)


def test_a_multiframe_file_is_referred_to_by_frame():
    planes = lesion_in((4, 24, 20), (1, 5, 3), (3, 9, 12)).astype(np.uint16)
    file = enhanced_slices(planes)
    scan, volume = upload(("a", dicom_bytes(file)))
    content = to_dicom_seg(bright(scan, volume))
    assert [reference["frame"] for reference in references_of(scan)] == [4, 3, 2, 1]
    np.testing.assert_array_equal(read_back(content, references_of(scan)), (planes == 1000)[::-1])


def test_empty_frames_between_lesions_are_kept():
    planes = np.full((6, 24, 20), 100, np.uint16)
    planes[[1, 4], 5:9, 5:9] = 1000
    scan, volume = upload(*dicom_series(planes))
    seg = pydicom.dcmread(io.BytesIO(to_dicom_seg(bright(scan, volume))))
    assert seg.NumberOfFrames == 6


def test_long_decimals_are_shortened_to_what_the_standard_allows():
    long = 1 / 3
    files = [
        (
            f"{n}",
            dicom_bytes(
                dicom_slice(
                    image,
                    (DSfloat(-100 * long, auto_format=True), 0, 6 * n),
                    PixelSpacing=[DSfloat(2 * long, auto_format=True)] * 2,
                )
            ),
        )
        for n, image in enumerate(stack()[..., 1])
    ]
    scan, volume = upload(*files)
    exact = [
        {**one, "position": (-100 * long, 0.0, 6.0 * n), "spacing": (2 * long, 2 * long)}
        for n, one in enumerate(references_of(scan))
    ]
    scan = replace(scan, source={**(scan.source or {}), "references": exact})
    seg = pydicom.dcmread(io.BytesIO(to_dicom_seg(bright(scan, volume))))
    found = [seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing[0]]
    found += [one.PlanePositionSequence[0].ImagePositionPatient[0] for one in seg.PerFrameFunctionalGroupsSequence]
    assert max(len(str(value)) for value in found) <= 16
    assert [float(value) for value in found] == pytest.approx([2 * long] + [-100 * long] * 6)


def test_an_empty_mask_makes_a_seg_too():
    scan, volume = upload(*dicom_series(stack()[..., 1]))
    content = to_dicom_seg(bright(scan, volume))
    assert not read_back(content, references_of(scan)).any()


def test_no_seg_without_dicom():
    result = bright(*upload(("a.png", png_bytes(slice_image()))))
    assert not can_be_dicom_seg(result.scan)
    with pytest.raises(IngestError, match="Download the mask as NIfTI or PNG"):
        to_dicom_seg(result)


def test_sizes_are_in_millimetres_only_where_the_header_gives_them():
    planes = lesion_in((6, 24, 20), (2, 5, 3), (4, 9, 12)).astype(np.uint16)  # 2 × 4 × 9 voxels
    known = bright(*upload(*dicom_series(planes, spacing=(5.0, 0.5, 2.0))))
    assert lesion_size(known) == (72, pytest.approx(0.36))
    rows = list(csv.DictReader(io.StringIO(to_csv(known).removeprefix("\ufeff"))))
    assert [(row["slice"], row["lesion_pixels"], row["lesion_mm2"]) for row in rows][1:4] == [
        ("2", "0", "0.00"),
        ("3", "36", "36.00"),
        ("4", "36", "36.00"),
    ]
    assert rows[0]["model_sha256"] == WEIGHTS.sha256
    assert rows[0]["engine"] == "OpenVINO int8"
    unknown = bright(*upload(("a.tif", tiff_bytes(planes))))
    assert lesion_size(unknown) == (72, None)
    assert {row["lesion_mm2"] for row in csv.DictReader(io.StringIO(to_csv(unknown).removeprefix("\ufeff")))} == {""}


def test_png_is_one_picture_or_a_zip_of_them():
    planes = lesion_in((6, 24, 20), (2, 5, 3), (4, 9, 12)).astype(np.uint16)
    result = bright(*upload(("a.tif", tiff_bytes(planes))))
    content = to_png(mask_pictures(result), "m")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == [f"m_{n:03d}.png" for n in range(1, 7)]
        third = cv2.imdecode(np.frombuffer(archive.read("m_003.png"), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(third, (planes[2] == 1000) * 255)
    assert to_png(mask_pictures(result)[:1], "m").startswith(b"\x89PNG")


def test_the_mask_of_a_photo_that_was_scaled_down_has_the_photos_size():
    photo = np.full((3000, 4000), 100, np.uint16)
    photo[600:1200, 400:2000] = 1000
    result = bright(*upload(("a.png", png_bytes(photo))))
    assert result.mask.shape == (1, 1536, 2048)
    [picture] = mask_pictures(result)
    # a pixel of the smaller grid is 1.95 of the file's, so an edge is at most 2 off
    assert picture.shape == (3000, 4000)
    assert (picture[602:1198, 402:1998] == 255).all() and picture.sum() <= 255 * 604 * 1604
    back = nibabel.Nifti1Image.from_bytes(gzip.decompress(to_nifti(result)))
    np.testing.assert_array_equal(np.asarray(back.dataobj)[..., 0] * 255, picture.T[:, ::-1])


def test_the_report_says_what_and_by_whom_and_not_who():
    planes = lesion_in((6, 24, 20), (2, 5, 3), (4, 9, 12)).astype(np.uint16)
    report = to_html(bright(*upload(*dicom_series(planes))), ("A <note>.",))
    for words in (
        "not for diagnosis",
        WEIGHTS.sha256,
        "run by OpenVINO int8",
        "72 voxels, 0.43 mL",
        "slice 3 of 6",
        "A &lt;note&gt;.",
    ):
        assert words in report
    assert 'src="http' not in report and "<script" not in report
    assert not any(secret.decode() in report for secret in SECRETS)


def test_the_report_scores_against_an_expected_mask():
    planes = lesion_in((6, 24, 20), (2, 5, 3), (4, 9, 12)).astype(np.uint16)
    result = bright(*upload(*dicom_series(planes)))
    assert "Volume Dice" not in to_html(result)
    half = result.mask.copy()
    half[2] = 0
    scored = replace(result.volume, expected_mask=half, has_mask=np.ones(6, bool))
    assert "0.667, against the uploaded expected mask" in to_html(replace(result, volume=scored))


def test_every_format_is_one_file_with_a_name():
    planes = lesion_in((6, 24, 20), (2, 5, 3), (4, 9, 12)).astype(np.uint16)
    stack_of_tiff = bright(*upload(("a.tif", tiff_bytes(planes))))
    named = {kind.label: kind.one_name(stack_of_tiff, "a") for kind in FORMATS if kind.fits(stack_of_tiff.scan)}
    assert named == {
        "Report": ("a_report.html", "text/html"),
        "Mask as NIfTI": ("a_predicted_mask.nii.gz", "application/gzip"),
        "Sizes as CSV": ("a_slices.csv", "text/csv"),
        "Masks as PNG": ("a_predicted_mask.zip", "application/zip"),
        "Overlays as PNG": ("a_overlay.zip", "application/zip"),
    }
    for kind in FORMATS[2:]:
        assert kind.one_file(stack_of_tiff, Options(), "a")


def test_a_phantom_gives_one_mask_in_every_format():
    images = load_volume(list_patients(DEMO_FOLDER)[0][0]).images[9:17]
    wide = images.astype(np.uint16) * 16
    study = [
        (f"{channel}/{name}", content)
        for channel, words in enumerate(("T1 pre", "FLAIR", "T1 post"))
        for name, content in dicom_series(wide[..., channel], words, f"1.2.{channel}")
    ]
    uploads = {
        "nifti": [("a.nii", nifti_bytes(np.ascontiguousarray(images.transpose(2, 1, 0, 3)).astype(np.int16)))],
        "dicom": study,
        "tiff": [("a.tif", tiff_bytes(wide, photometric="rgb"))],
        "png": [(f"{n}.png", png_bytes(image)) for n, image in enumerate(images)],
    }
    network = Segmenter(WEIGHTS)
    masks = {name: network.segment(upload(*files)[1].images).mask(0.5) for name, files in uploads.items()}
    assert masks["nifti"].sum() > 1000
    for first in masks:
        for second in masks:
            assert dice_score(masks[first], masks[second]) >= 0.98
