"""Every format that a result can be taken along in: one table, for the page's buttons and for the command line."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unet.export.html_report import to_html
from unet.export.result import (
    Result,
    can_be_dicom_seg,
    mask_pictures,
    overlay_pictures,
    to_csv,
    to_dicom_seg,
    to_nifti,
    to_png,
)
from unet.language import mark
from unet.scans.scan import Scan


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        name: on the command line; masks and overlays as PNG share theirs.
        label: on the page.
        ending: of the file's name.
        media_type: as HTTP calls it, of a single file.
        write: a result and notes for the report → text or bytes, or for PNG the picture of each slice.
        fits: whether a result on that scan can have the format.
    """

    name: str
    label: str
    ending: str
    media_type: str
    write: Callable[[Result, tuple[str, ...]], str | bytes | list[np.ndarray]]
    fits: Callable[[Scan], bool] = lambda scan: True

    def one_file(self, result: Result, notes: tuple[str, ...], stem: str) -> str | bytes:
        """Return the content of one file; the pictures of several slices are a zip."""
        written = self.write(result, notes)
        return to_png(written, stem + self.ending.removesuffix(".png")) if isinstance(written, list) else written

    def one_name(self, result: Result, stem: str) -> tuple[str, str]:
        """Return the name and the media type of that file."""
        if self.name == "png" and len(result.mask) > 1:
            return f"{stem}{self.ending.removesuffix('.png')}.zip", "application/zip"
        return stem + self.ending, self.media_type


FORMATS = (
    Format("html", "Report", "_report.html", "text/html", to_html),
    Format(
        "dicom-seg",
        mark("Mask as DICOM-SEG"),
        "_seg.dcm",
        "application/dicom",
        lambda result, _: to_dicom_seg(result),
        can_be_dicom_seg,
    ),
    Format(
        "nifti", mark("Mask as NIfTI"), "_predicted_mask.nii.gz", "application/gzip", lambda result, _: to_nifti(result)
    ),
    Format("csv", mark("Sizes as CSV"), "_slices.csv", "text/csv", lambda result, _: to_csv(result)),
    Format("png", mark("Masks as PNG"), "_predicted_mask.png", "image/png", lambda result, _: mask_pictures(result)),
    Format("png", mark("Overlays as PNG"), "_overlay.png", "image/png", lambda result, _: overlay_pictures(result)),
)
FORMAT_NAMES = tuple(dict.fromkeys(kind.name for kind in FORMATS))
