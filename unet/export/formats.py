"""Every format that a result can be taken along in: one table, for the page's buttons and for the command line."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unet.export.dicom_seg import can_be_dicom_seg, to_dicom_seg
from unet.export.html_report import to_html
from unet.export.result import (
    Result,
    mask_pictures,
    overlay_pictures,
    to_csv,
    to_nifti,
    to_png,
)
from unet.language import mark
from unet.scans.scan import Scan


@dataclass(frozen=True)
class Options:
    """What a visitor may want of the files.

    Attributes:
        notes: sentences for the report.
        keep_patient: whether a DICOM-SEG names the patient and the study.
        decimal_comma: whether CSV has decimal commas, and semicolons between its columns.
    """

    notes: tuple[str, ...] = ()
    keep_patient: bool = False
    decimal_comma: bool = False


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        name: on the command line; masks and overlays as PNG share theirs.
        label: on the page.
        ending: of the file's name.
        media_type: as HTTP calls it, of a single file.
        write: a result and what is wanted of it → text or bytes, or for PNG the picture of each slice.
        fits: whether a result on that scan can have the format.
    """

    name: str
    label: str
    ending: str
    media_type: str
    write: Callable[[Result, Options], str | bytes | list[np.ndarray]]
    fits: Callable[[Scan], bool] = lambda scan: True

    def one_file(self, result: Result, options: Options, stem: str) -> str | bytes:
        """Return the content of one file; the pictures of several slices are a zip."""
        written = self.write(result, options)
        return to_png(written, stem + self.ending.removesuffix(".png")) if isinstance(written, list) else written

    def one_name(self, result: Result, stem: str) -> tuple[str, str]:
        """Return the name and the media type of that file."""
        if self.name == "png" and len(result.mask) > 1:
            return f"{stem}{self.ending.removesuffix('.png')}.zip", "application/zip"
        return stem + self.ending, self.media_type


FORMATS = (
    Format("html", "Report", "_report.html", "text/html", lambda result, options: to_html(result, options.notes)),
    Format(
        "dicom-seg",
        mark("Mask as DICOM-SEG"),
        "_seg.dcm",
        "application/dicom",
        lambda result, options: to_dicom_seg(result, options.keep_patient),
        can_be_dicom_seg,
    ),
    Format(
        "nifti", mark("Mask as NIfTI"), "_predicted_mask.nii.gz", "application/gzip", lambda result, _: to_nifti(result)
    ),
    Format(
        "csv",
        mark("Sizes as CSV"),
        "_slices.csv",
        "text/csv",
        lambda result, options: to_csv(result, options.decimal_comma),
    ),
    Format("png", mark("Masks as PNG"), "_predicted_mask.png", "image/png", lambda result, _: mask_pictures(result)),
    Format("png", mark("Overlays as PNG"), "_overlay.png", "image/png", lambda result, _: overlay_pictures(result)),
)
FORMAT_NAMES = tuple(dict.fromkeys(kind.name for kind in FORMATS))
