"""A one-page report as a single HTML file: picture, numbers, and what made them. It prints on one sheet."""

import base64
import html
from datetime import date

import numpy as np

from unet import metrics, overlay
from unet.export.result import LABEL, PURPOSE, Result, lesion_size, overlay_pictures
from unet.language import spoken, t

MAX_PICTURES = 6

_PAGE = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>
<style>
 @page {{ size: A4; margin: 14mm }}
 body {{ font: 14px/1.45 system-ui, sans-serif; max-width: 186mm; margin: 8mm auto; color: #111 }}
 h1 {{ font-size: 20px; margin: 0 0 2mm }} .purpose {{ font-weight: 600; border: 1px solid #111; padding: 2mm 3mm }}
 .pictures {{ display: grid; grid-template-columns: repeat(3, 1fr); gap: 3mm; margin: 4mm 0 }}
 figure {{ margin: 0; position: relative }} img {{ width: 100%; background: #000; display: block }}
 figcaption {{ font-size: 12px; color: #444 }}
 table {{ border-collapse: collapse; width: 100% }} th {{ text-align: left; font-weight: 500; width: 40% }}
 th, td {{ border-top: 1px solid #ccc; padding: 1mm 2mm 1mm 0; vertical-align: top }} code {{ font-size: 11px }}
</style></head><body>
<h1>{title}</h1><p class="purpose">{purpose}</p>
<div class="pictures">{pictures}</div>
<table>{rows}</table>
<p>{ending}</p>
</body></html>
"""


def to_html(result: Result, notes: tuple[str, ...] = ()) -> str:
    """Return the report.

    Args:
        result: the finished mask.
        notes: plain sentences to add, such as what was guessed; the caller keeps patients out of them.
    """
    rows = {
        **_sizes(result),
        t("Picture"): _picture(result),
        t("Orientation"): _orientation(result.scan.edges),
        **_score(result),
        t("Threshold"): t("probability of at least {threshold:.2f}", threshold=result.threshold),
        t("Model"): t(
            "{weights}, run by {engine}, <code>SHA-256 {sha256}</code>",
            weights=result.weights.name,
            engine=result.engine,
            sha256=result.weights.sha256,
        ),
        t("Made on"): date.today().isoformat(),
    }
    if notes:
        rows[t("Notes")] = "<br>".join(html.escape(note) for note in notes)
    return _PAGE.format(
        language=spoken(),
        title=html.escape(t(LABEL)),
        purpose=html.escape(t(PURPOSE)),
        pictures="".join(_figures(result)),
        rows="".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items()),
        ending=t(
            "The mask was drawn by a neural network and has not been checked. The network was trained on axial MRI "
            "of low-grade glioma only (Buda et al. 2019)."
        ),
    )


def _sizes(result: Result) -> dict[str, str]:
    areas, spacing = result.mask.sum(axis=(1, 2)), result.scan.spacing
    voxels, millilitres = lesion_size(result)
    whole = [t("{count:,} voxels", count=voxels)]
    if millilitres is not None:
        whole += [t("{volume:.2f} mL", volume=millilitres)]
    largest = [t("{count:,} pixels", count=areas.max())]
    if spacing:
        largest += [t("{area:,.0f} mm²", area=areas.max() * spacing[1] * spacing[2])]
    if areas.any():
        largest += [t("slice {number} of {count}", number=areas.argmax() + 1, count=len(areas))]
    with_lesion = [t("{number} of {count}", number=(areas > 0).sum(), count=len(areas))]
    if (areas > 0).sum() > MAX_PICTURES:
        with_lesion += [t("the {max_pictures} largest shown", max_pictures=MAX_PICTURES)]
    return {
        t("Whole lesion"): ", ".join(whole),
        t("Largest on a slice"): ", ".join(largest),
        t("Slices with lesion"): ", ".join(with_lesion),
    }


def _picture(result: Result) -> str:
    (count, height, width), spacing = result.mask.shape, result.scan.spacing
    size = t("{count} slices of {width} × {height}", count=count, width=width, height=height)
    distances = (
        t(
            "{column:.2f} × {row:.2f} mm, slices {depth:.2f} mm apart",
            depth=spacing[0],
            row=spacing[1],
            column=spacing[2],
        )
        if spacing
        else t("size in millimetres unknown")
    )
    plane = t(result.scan.plane) if result.scan.plane else t("orientation unknown")
    return ", ".join((result.scan.file_format, size, plane, distances))


def _score(result: Result) -> dict[str, str]:
    """The row that says how well the mask fits the expected one, if there is one."""
    expected, known = result.volume.expected_mask, result.volume.has_mask
    if not known.any():
        return {}
    dice = metrics.volume_dice(result.mask, expected, known)
    words = t("both masks are empty") if np.isnan(dice) else f"{dice:.3f}"
    return {t("Volume Dice"): t("{score}, against the uploaded expected mask", score=words)}


def _orientation(edges: tuple[str, str, str, str] | None) -> str:
    if edges is None:
        return t("unknown: the header does not say which side is the patient's right")
    words = {
        "R": t("right"),
        "L": t("left"),
        "A": t("front"),
        "P": t("back"),
        "S": t("top"),
        "I": t("bottom"),
    }
    return t(
        "the patient's {left} is on the left of the pictures, the {top} at the top",
        left=words[edges[0]],
        top=words[edges[2]],
    )


def _figures(result: Result) -> list[str]:
    """The slices with the largest lesion, in order, or the middle one where there is none."""
    areas = result.mask.sum(axis=(1, 2))
    chosen = sorted(areas.argsort()[::-1][:MAX_PICTURES]) if areas.any() else [len(areas) // 2]
    chosen = [index for index in chosen if areas[index] or not areas.any()]
    pictures = overlay_pictures(result)
    _, row, column = result.scan.spacing or (1, 1, 1)
    shape = result.mask.shape[2] * column, result.mask.shape[1] * row
    figures = []
    for index in chosen:
        encoded = base64.b64encode(overlay.encode_png(pictures[index])).decode()
        alt = t("Slice {number} with the mask", number=index + 1)
        caption = t("Slice {number}: {area:,} pixels", number=index + 1, area=areas[index])
        figures.append(
            f'<figure><img style="aspect-ratio:{shape[0]:.2f}/{shape[1]:.2f}" alt="{html.escape(alt)}" '
            f'src="data:image/png;base64,{encoded}"><figcaption>{html.escape(caption)}</figcaption></figure>'
        )
    return figures
