"""TIFF into a Scan: 8 or 16 bit, float, many pages, hyperstacks, planes apart, tiles.

tifffile reads the tags and the plain encodings; what it leaves to others, OpenCV or Pillow decodes. Dots per inch
are about paper, so a TIFF has no geometry.
"""

import io

import numpy as np
import tifffile
from PIL import Image

from unet.language import t
from unet.scans.formats.pictures import GREY_MODES, picture_scan
from unet.scans.limits import MAX_CHANNELS
from unet.scans.scan import IngestError, Room, Scan

MAX_PAGES = 5_000
_SAMPLES = "SC"  # tifffile's letters for axes that hold samples or channels of one pixel
_UPRIGHT = {  # what undoes each value of the EXIF orientation tag, on (height, width, channels)
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def read_tiff(data: bytes, name: str, room: Room) -> Scan:
    """Read a TIFF: its pages, or the planes of a hyperstack, as slices; errors as `unet.scans.reader.read_files`."""
    notes: list[str] = []
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            if len(file.pages) > MAX_PAGES:
                raise IngestError(
                    t(
                        "{name}: more than {max_pages:,} pages. Save only the slices you need.",
                        name=name,
                        max_pages=MAX_PAGES,
                    )
                )
            series = max(file.series, key=lambda one: int(np.prod(one.shape, dtype=object)))
            page = series.keyframe
            if len(file.series) > 1:
                notes.append(t("The pages have different sizes. Only the largest picture or stack is used."))
            shape, channels = _sizes(series)
            room.take(name, shape, channels, series.dtype.itemsize, scaled_down=shape[0] == 1)
            _check_strips(page, series, name, len(data))
            array, axes, upright, bright = _decode(series, page, data, notes)
            stack = _stack(array, axes)
            orientation = page.tags.valueof(274, 1)
            inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
            extra = bool(page.extrasamples)
            bits = page.bitspersample if isinstance(page.bitspersample, int) else page.bitspersample[0]
    except IngestError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # tifffile raises many kinds for damaged tags
        raise IngestError(
            t("{name}: looks like a TIFF but is cut off or damaged. Save or copy it again.", name=name)
        ) from error
    if extra and stack.shape[3] in (2, 4):
        notes.append(t("The transparency channel was dropped."))
        stack = stack[..., :-1]
    if stack.shape[3] > MAX_CHANNELS:
        notes.append(
            t("{stack} channels; the first {max_channels} are used.", stack=stack.shape[3], max_channels=MAX_CHANNELS)
        )
        stack = stack[..., :MAX_CHANNELS]
    if np.iscomplexobj(stack):
        notes.append(t("The values are complex. Their magnitude is shown."))
        stack = np.abs(stack)
    if inverted:
        notes.append(t("Stored with white as 0; inverted, so that bright is bright."))
        stack = stack.astype(np.float32) if bright else -stack.astype(np.float32)
        stack -= stack.min()  # the largest value becomes 0, whoever inverted
    if orientation in _UPRIGHT:
        notes.append(t("Turned upright by the orientation tag."))
        stack = stack if upright else np.stack([_UPRIGHT[orientation](slice_) for slice_ in stack])
    return picture_scan(name, "TIFF", stack, int(bits), notes)


def _sizes(series: tifffile.TiffPageSeries) -> tuple[tuple[int, int, int], int]:
    """Return (slices, height, width) and channels, as `_stack` will arrange them, from the tags alone."""
    sizes = list(zip(series.axes, series.shape, strict=True))
    slices = [size for letter, size in sizes if letter not in f"YX{_SAMPLES}"]
    channels = [size for letter, size in sizes if letter in _SAMPLES]
    height, width = (series.shape[series.axes.index(letter)] for letter in "YX")
    return (int(np.prod(slices, dtype=object)), height, width), int(np.prod(channels, dtype=object))


def _check_strips(page: tifffile.TiffPage, series: tifffile.TiffPageSeries, name: str, available: int) -> None:
    """Refuse dimensions that the file's own bytes cannot fill; a compressed byte makes at most about a thousand."""
    expected = int(np.prod(series.shape, dtype=object)) * series.dtype.itemsize
    if page.bitspersample == 1:  # eight to a byte
        expected //= 8
    ratio = 1 if page.compression == 1 else 2000
    if expected > ratio * available + 1024:
        raise IngestError(
            t(
                "{name}: the header announces {expected:,} bytes, more than the file can hold. Save it again.",
                name=name,
                expected=expected,
            )
        )


def _decode(
    series: tifffile.TiffPageSeries, page: tifffile.TiffPage, data: bytes, notes: list[str]
) -> tuple[np.ndarray, str, bool, bool]:
    """Return the array, the letters of its axes, and whether its decoder turned it upright and made white bright.

    What tifffile leaves to others, OpenCV or Pillow decodes. Both obey the orientation tag; white that is stored as 0
    they invert in pixels of up to 8 bits and leave in deeper ones.
    """
    photometric = tifffile.PHOTOMETRIC
    plain = page.photometric in (photometric.MINISBLACK, photometric.MINISWHITE, photometric.RGB, photometric.PALETTE)
    if plain and page.compression in (1, 8, 32946, 32773):  # none, deflate twice, PackBits
        array = series.asarray(maxworkers=1)
        if page.photometric == photometric.PALETTE and page.colormap is not None:
            notes.append(t("Colours stored as a palette; read as RGB."))
            return page.colormap.T[array] // 257, series.axes + "S", False, False
        return array, series.axes, False, False
    bright = series.dtype.itemsize == 1
    numbers = [one.index for one in series if one is not None]  # others may have another size
    if plain and page.photometric != photometric.PALETTE:
        import cv2

        first, behind = min(numbers), max(numbers) + 1
        fine, pages = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED, range=(first, behind))
        if fine:
            array = np.stack([pages[number - first] for number in numbers])
            array = array[..., [2, 1, 0, 3][: array.shape[3]]] if array.ndim == 4 else array
            return array, "ZYXS"[: array.ndim], True, bright
    with Image.open(io.BytesIO(data), formats=["TIFF"]) as picture:
        pages, grey = [], True
        for number in numbers:
            picture.seek(number)
            grey = picture.mode in GREY_MODES
            pages.append(np.asarray(picture if grey else picture.convert("RGB")))
    if not grey:
        notes.append(t("Read as RGB, 8 bits a colour."))
    array = np.stack(pages)
    return array, "ZYXS"[: array.ndim], True, bright


def _stack(array: np.ndarray, axes: str) -> np.ndarray:
    """Return (slices, height, width, channels) from an array with tifffile's letters for its axes."""
    order = [axes.index("Y"), axes.index("X")]
    channels = [axis for axis, letter in enumerate(axes) if letter in _SAMPLES]
    slices = [axis for axis in range(array.ndim) if axis not in (*order, *channels)]
    height, width = (array.shape[axis] for axis in order)
    count = int(np.prod([array.shape[axis] for axis in slices], dtype=int))
    return array.transpose(*slices, *order, *channels).reshape(count, height, width, -1)
