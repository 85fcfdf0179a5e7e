"""Which way up: against nibabel's own reading of a matrix, and by hand."""

import itertools

import nibabel
import numpy as np
import pytest

from tests.upload_files import nifti_bytes
from unet.scans.placement import Placement, nearest_axes, place, usable_affine
from unet.scans.reader import read_files
from unet.scans.scan import IngestError, Room, Scan, finished, orient

pytestmark = pytest.mark.quick


def scan_of(array, affine, slice_axis=2, **changes) -> Scan:
    voxels, geometry = orient(array[..., None], affine, slice_axis)
    return Scan("a", "NIfTI", voxels, ("a",), 16, (None,), **geometry, **changes)


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_every_orientation_comes_out_axial_with_the_nose_up_and_the_right_on_the_left(axes, signs):
    affine = np.eye(4)
    affine[:3, :3] = np.diag(signs) @ np.eye(3)[list(axes)]
    # a voxel's value is where it lies: 100 to the right, 10 to the front, 1 up
    indices = np.stack(np.meshgrid(*(range(size) for size in (3, 4, 5)), indexing="ij"), axis=-1)
    world = indices @ affine[:3, :3].T
    values = world @ [100, 10, 1]
    scan = scan_of(values, affine)
    shown = scan.voxels[..., 0]
    assert scan.plane == "axial" and scan.edges == ("R", "L", "A", "P")
    assert (np.diff(shown, axis=0) == 1).all()  # slices go up
    assert (np.diff(shown, axis=1) == -10).all()  # rows go to the back
    assert (np.diff(shown, axis=2) == -100).all()  # columns go to the patient's left
    np.testing.assert_array_equal(scan.placement.inverse(shown), values)
    assert scan.affine is not None
    corner = scan.affine @ [0, 0, 0, 1]
    assert corner[:3] @ [100, 10, 1] == shown[0, 0, 0]


def test_nearest_axes_agree_with_nibabel():
    rng = np.random.default_rng(0)
    for _ in range(50):
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        affine = np.eye(4)
        affine[:3, :3] = rotation * rng.uniform(0.5, 4, 3)
        letters = "".join("RAS"[axis] if sign > 0 else "LPI"[axis] for axis, sign in nearest_axes(affine))
        if np.abs(rotation).max(axis=0).min() > 0.8:  # else the two may split a tie differently
            assert letters == "".join(nibabel.aff2axcodes(affine))


@pytest.mark.parametrize(
    ("sizes", "slice_axis", "plane", "edges"),
    [
        ((1, 1, 5), 2, "axial", ("R", "L", "A", "P")),
        ((5, 1, 1), 0, "sagittal", ("A", "P", "S", "I")),
        ((1, 5, 1), 1, "coronal", ("R", "L", "S", "I")),
        ((1.2, 1, 1), 0, "axial", ("R", "L", "A", "P")),  # nearly cubes: looked at from below
    ],
)
def test_thick_slices_stay_as_they_were_taken(sizes, slice_axis, plane, edges):
    affine = np.diag([*sizes, 1.0])
    scan = scan_of(np.zeros((4, 5, 6)), affine, slice_axis)
    assert (scan.plane, scan.edges) == (plane, edges)
    assert scan.voxels.shape[:3] == {"axial": (6, 5, 4), "sagittal": (4, 6, 5), "coronal": (5, 6, 4)}[plane]


def test_an_oblique_stack_goes_to_the_nearest_axes():
    angle = np.deg2rad(25)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-1, -1, 6])
    assert place(affine, 2) == (Placement((2, 1, 0), (False, False, False)), "axial")


@pytest.mark.parametrize(
    "broken",
    [np.zeros((4, 4)), np.full((4, 4), np.nan), np.diag([1, 1, 0, 1]), np.diag([1, 1, 1e9, 1]), np.ones((3, 3))],
)
def test_impossible_matrices_are_told(broken):
    assert not usable_affine(np.asarray(broken, float))
    assert usable_affine(np.diag([-1.0, 2, 3, 1]))


def test_room_is_taken_before_decoding():
    room = Room(1000)
    room.take("a", (1, 10, 10), 1, 2)  # as float32
    assert room.left == 600
    room.take("b", (1, 10, 5), 1, 8)
    assert room.left == 200
    with pytest.raises(IngestError, match="c: .*left"):
        room.take("c", (3, 17, 1), 1, 4)
    with pytest.raises(IngestError, match="d: 65 megapixels; at most 64"):
        Room().take("d", (1, 6500, 10_000), 1, 1, scaled_down=True)


def test_values_become_finite_and_that_is_said():
    voxels = np.array([1, np.nan, 3, np.inf], np.float32).reshape(1, 2, 2, 1)
    scan = finished(Scan("a", "TIFF", voxels, ("a",), 32))
    assert scan.voxels.ravel().tolist() == [1, 1, 3, 3]
    assert scan.notes == ("2 values were NaN or infinite. They are shown as the nearest finite value.",)


def test_a_scan_survives_the_way_through_a_folder(tmp_path):
    source = {"references": [{"position": [1.0, 2.0, 3.0]}]}
    scan = scan_of(np.arange(24.0).reshape(2, 3, 4), np.diag([1.0, 2, 3, 1]), notes=("x",), source=source)
    scan.save(tmp_path, 0)
    back = Scan.load(tmp_path, 0)
    np.testing.assert_array_equal(back.voxels, scan.voxels)
    np.testing.assert_array_equal(back.affine, scan.affine)
    for name in ("name", "placement", "plane", "spacing", "notes", "guesses", "source", "window"):
        assert getattr(back, name) == getattr(scan, name)


def test_a_nifti_in_three_equal_colours_is_one_channel():
    colour = np.dtype([(name, "u1") for name in "RGB"])
    grey = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    voxels = np.zeros(grey.shape, colour)
    for name in "RGB":
        voxels[name] = grey
    [scan], problems = read_files([("flair.nii", nifti_bytes(voxels))])
    assert (problems, scan.voxels.shape, scan.guesses) == ([], (3, 4, 4, 1), ("FLAIR",))
    voxels["B"] += 1
    [scan], _ = read_files([("flair.nii", nifti_bytes(voxels))])
    assert (scan.voxels.shape, scan.guesses) == ((3, 4, 4, 3), (None, None, None))
