"""PNG, JPEG, HEIC, WebP, BMP and GIF into a Scan.

They carry no geometry: dots per inch are about paper, not patients.
"""

import io
import re
import threading

import numpy as np
from PIL import Image, ImageOps

from unet.data.sequences import EXPECTED_MASK, FLAIR, POST_CONTRAST, PRE_CONTRAST, guess_from_file
from unet.language import t
from unet.scans.formats.colours import are_equal, grey_if_tinted, mask_of_colours
from unet.scans.formats.signatures import JPEG_SCAN, PICTURE_KINDS, START, sniff
from unet.scans.limits import MAX_JPEG_SCANS, MAX_PIXELS_2D, MAX_PIXELS_INTERLACED, MAX_SIDE, MIN_SIDE
from unet.scans.scan import IngestError, Room, Scan, finished

LOSSY = ("JPEG", "WEBP", "HEIF")  # the last two may be saved without loss too
_TURNED = re.compile(rb"irot[\1-\3]|imir[\0\1]")  # boxes of HEIF that turn or mirror a picture
GREY_MODES = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L")


def read_picture(data: bytes, name: str, room: Room) -> Scan:
    """Read a picture as a scan of one slice, of several frames the first; errors as `unet.scans.reader.read_files`."""
    file_format = PICTURE_KINDS[sniff(data[:START]) or ""]
    is_mask = guess_from_file(name) == EXPECTED_MASK
    notes: list[str] = []
    if file_format == "HEIF":
        _register_heif(name)
    try:
        picture = Image.open(io.BytesIO(data), formats=[file_format])
        width, height = picture.size
        room.take(name, (1, height, width), len(picture.getbands()), 1, scaled_down=True)
        if picture.info.get("interlace") and width * height > MAX_PIXELS_INTERLACED:
            raise IngestError(
                t(
                    "{name}: an interlaced PNG of {width:,.0f} megapixels; at most "
                    "{max_pixels_interlaced:.0f} are allowed. Save it without interlacing.",
                    name=name,
                    width=width * height / 1000000.0,
                    max_pixels_interlaced=MAX_PIXELS_INTERLACED / 1000000.0,
                )
            )
        if file_format == "JPEG" and data.count(JPEG_SCAN) > MAX_JPEG_SCANS:
            raise IngestError(
                t(
                    "{name}: a JPEG of more than {max_jpeg_scans} scans. Save it again.",
                    name=name,
                    max_jpeg_scans=MAX_JPEG_SCANS,
                )
            )
        bits = data[24] if file_format == "PNG" else 8
        if bits == 16 and picture.mode not in GREY_MODES:
            array = _sixteen_bit_colour(data, name)
        else:
            turned = ImageOps.exif_transpose(picture)
            by_tag = picture.getexif().get(274, 1) not in (0, 1)
            if by_tag or (file_format == "HEIF" and _TURNED.search(data[:65536])):  # libheif has turned the second
                notes.append(t("Turned upright by the camera's orientation tag."))
            array = np.asarray(turned) if is_mask and turned.mode == "P" else _pixels(turned, notes)
            if array.shape[0] * array.shape[1] != width * height:
                raise ValueError
    except Image.DecompressionBombError:
        raise IngestError(
            t(
                "{name}: more than {max_pixels_2d:.0f} megapixels. Scale it down.",
                name=name,
                max_pixels_2d=MAX_PIXELS_2D / 1000000.0,
            )
        ) from None
    except IngestError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, RuntimeError) as error:
        if file_format == "JPEG" and re.search(rb"\xff[\xc0-\xc3]..\x0c", data[:65536], re.DOTALL):
            raise IngestError(
                t("{name}: a JPEG of 12 bits, which this app cannot read. Save it as PNG or TIFF.", name=name)
            ) from None
        raise IngestError(
            t(
                "{name}: looks like a {file_format} but is cut off or damaged. Save or copy it again.",
                name=name,
                file_format=file_format,
            )
        ) from error
    if getattr(picture, "n_frames", 1) > 1:
        notes.append(
            t("The file holds several pictures. Only the main one is used.")
            if file_format == "HEIF"
            else t("The picture is animated. Only the first frame is used.")
        )
    array = _without_alpha(array, notes)
    array = mask_of_colours(array, file_format in LOSSY, notes) if is_mask else grey_if_tinted(array, notes)
    return picture_scan(name, file_format, array[np.newaxis], bits, notes)


def _register_heif(name: str) -> None:
    """Make Pillow read HEIF by libheif.

    Raises:
        IngestError: no thread can be started. libde265 decodes in one, and ends the process where it gets none.
    """
    import pi_heif

    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        raise IngestError(
            t("{name}: this server cannot read HEIC, as its reader may start no thread. Save it as JPEG.", name=name)
        ) from None
    # 0: no further thread for the tiles of a picture
    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=0)


def _pixels(picture: Image.Image, notes: list[str]) -> np.ndarray:
    """Return (height, width) or (height, width, channels) in the picture's own depth."""
    if picture.mode in GREY_MODES:
        return np.asarray(picture)
    if picture.mode in ("LA", "RGB", "RGBA"):
        return np.asarray(picture)
    notes.append(
        t(
            "Colours stored as {kind}; read as RGB.",
            kind=t("a palette") if picture.mode in ("P", "PA") else picture.mode,
        )
    )
    return np.asarray(picture.convert("RGBA" if "transparency" in picture.info else "RGB"))


def _sixteen_bit_colour(data: bytes, name: str) -> np.ndarray:
    """Pillow would halve the depth; OpenCV keeps it, as blue, green, red."""
    import cv2

    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise IngestError(t("{name}: looks like a PNG but is cut off or damaged. Save or copy it again.", name=name))
    return array if array.ndim == 2 else array[..., [2, 1, 0, 3][: array.shape[2]]]


def _without_alpha(array: np.ndarray, notes: list[str]) -> np.ndarray:
    """Return (height, width, channels) without a transparency channel."""
    array = array if array.ndim == 3 else array[..., np.newaxis]
    if array.shape[2] in (2, 4):
        notes.append(t("The transparency channel was dropped."))
        array = array[..., :-1]
    return array


def picture_scan(name: str, file_format: str, stack: np.ndarray, bits: int, notes: list[str]) -> Scan:
    """Grey if the colours are equal; three different colours are three sequences, as in the data set."""
    source, size = None, stack.shape[1:3]
    if len(stack) == 1 and max(size) > MAX_SIDE and min(size) * MAX_SIDE >= MIN_SIDE * max(size):
        stack, source = _smaller(stack[0], guess_from_file(name) == EXPECTED_MASK, notes), {"size": size}
    stack = np.asarray(stack, np.float32)
    if stack.shape[3] == 3 and are_equal(stack):
        stack = stack[..., :1]
    count = stack.shape[3]
    names, guesses = (name,), (guess_from_file(name),)
    if count == 3:
        notes = [*notes, t("Three colours: read as pre-contrast, FLAIR and post-contrast, as in the data set.")]
        names, guesses = ("red", "green", "blue"), (PRE_CONTRAST, FLAIR, POST_CONTRAST)
    elif count > 1:
        names, guesses = tuple(f"channel {number}" for number in range(1, count + 1)), (None,) * count
    return finished(
        Scan(name, file_format, stack, names, bits, guesses, notes=tuple(notes), files=(name,), source=source)
    )


def _smaller(picture: np.ndarray, is_mask: bool, notes: list[str]) -> np.ndarray:
    """Bring a phone's photo, (height, width, channels), to `MAX_SIDE`: averaged in its own type, a mask by nearest."""
    import cv2

    height, width = picture.shape[:2]
    scale = MAX_SIDE / max(height, width)
    shape = round(height * scale), round(width * scale)
    if picture.dtype not in (np.uint8, np.uint16, np.float32):  # what OpenCV averages
        picture = picture.astype(np.float32)
    way = cv2.INTER_NEAREST_EXACT if is_mask else cv2.INTER_AREA
    notes.append(
        t(
            "Scaled down from {width} × {height} to {new_width} × {new_height} pixels. Sizes count "
            "the scaled pixels. Masks are saved in the size of the file.",
            width=width,
            height=height,
            new_width=shape[1],
            new_height=shape[0],
        )
    )
    channels = (np.ascontiguousarray(one) for one in np.moveaxis(picture, -1, 0))  # OpenCV averages at most four
    return np.stack([cv2.resize(one, shape[::-1], interpolation=way) for one in channels], axis=-1)[np.newaxis]
