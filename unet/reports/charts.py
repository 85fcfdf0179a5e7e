"""What the figures of the Results page show. Each is described once, drawn by Plotly on screen and Matplotlib in files.

Every function takes one or more reports, so that two models stand side by side, and returns a `Chart` whose `rows` are
its CSV; a chart without rows has nothing to show, as a short report holds only Dice per patient.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from unet.language import t
from unet.overlay import FALSE_NEGATIVE_COLOUR, PREDICTED_COLOUR, TRUE_POSITIVE_COLOUR
from unet.reports import results, slice_results
from unet.reports.results import Row

MODEL_COLOURS = (PREDICTED_COLOUR, TRUE_POSITIVE_COLOUR)
GREY = (128, 128, 128)


@dataclass(frozen=True)
class Series:
    """One set of marks.

    Attributes:
        kind: `bars` (lying, `y` are names), `line` or `points`.
        texts: for the pointer, one a mark.
        low, high: ends of an interval along x, one a mark.
    """

    name: str
    x: list
    y: list
    kind: str = "line"
    colour: tuple[int, int, int] = GREY
    texts: list[str] = field(default_factory=list)
    low: list = field(default_factory=list)
    high: list = field(default_factory=list)
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """One figure: `verticals` are labelled lines at a value of x, with their colour and whether they are dashed."""

    name: str
    title: str
    x_title: str
    y_title: str
    series: list[Series]
    rows: list[Row]
    verticals: list[tuple[float, str, tuple[int, int, int], bool]] = field(default_factory=list)
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    log: bool = False


def patients(reports: list[dict], row: str, peer: bool) -> Chart:
    """Volume Dice of each patient from the worst to the best of the first report, with mean, median and the peer's."""
    order = [r["patient"] for r in reversed(results.by_patient(reports[0], row)) if r["volume_dice"] is not None]
    series = []
    for report, colour in zip(reports, MODEL_COLOURS, strict=False):
        dice = results.dice_of(report, row)
        there = [p for p in order if dice.get(p) is not None]
        values = [dice[p] for p in there]
        series.append(Series(report["weights"], values, there, "bars", colour, [f"{value:.3f}" for value in values]))
    s = results.row_summary(reports[0], row)
    whose = f" of {reports[0]['weights']}" if len(reports) > 1 else ""
    verticals: list[tuple[float, str, tuple[int, int, int], bool]]
    verticals = [(s[name], name + whose, GREY, name == "median") for name in ("mean", "median") if s[name] is not None]
    if peer:
        verticals += [
            (results.PEER[name], f"peer's {name}", FALSE_NEGATIVE_COLOUR, name == "median")
            for name in ("mean", "median")
        ]
    return Chart(
        "dice_by_patient",
        t("Volume Dice by patient"),
        t("volume Dice"),
        "",
        series,
        _tagged(reports, lambda report: results.by_patient(report, row)),
        verticals,
        (0, 1),
    )


def volumes(reports: list[dict]) -> Chart:
    """Predicted against expected lesion volume, as published; the dotted line is where they are equal."""
    rows = _tagged(
        reports, lambda report: [r for r in results.by_patient(report, "published") if "expected_voxels" in r]
    )
    series, known = [], [r for r in rows if r["expected_voxels"] and r["predicted_voxels"]]
    if known:
        sizes = [r[name] for r in known for name in ("expected_voxels", "predicted_voxels")]
        ends = [min(sizes), max(sizes)]
        series.append(Series("equal", ends, ends, dashed=True))
    for name, part, colour in _by_model(reports, known):
        series.append(
            Series(
                name,
                [r["expected_voxels"] for r in part],
                [r["predicted_voxels"] for r in part],
                "points",
                colour,
                [f"{r['patient']}<br>{t('volume Dice')} {r['volume_dice']:.3f}" for r in part],
            )
        )
    return Chart(
        "volumes",
        t("Lesion volume"),
        t("expected, voxels"),
        t("predicted, voxels"),
        series if known else [],
        rows,
        log=True,
    )


def roc(reports: list[dict]) -> Chart:
    """Slice-level ROC with the operating point: is there a lesion on this slice?"""
    rows = _tagged(reports, slice_results.roc)
    series = [Series("chance", [0, 1], [0, 1], dashed=True)]
    by_name = {report["weights"]: report for report in reports}
    for name, part, colour in _by_model(reports, rows):
        area = slice_results.area_under_roc(part)
        series.append(
            Series(
                t("{name}, area under the curve {area:.3f}", name=name, area=area),
                [r["false_positive_rate"] for r in part],
                [r["sensitivity"] for r in part],
                "line",
                colour,
                ["" if r["threshold"] is None else f"threshold {r['threshold']:.2f}" for r in part],
            )
        )
        point = slice_results.slice_scores(by_name[name], "published")
        series.append(
            Series(
                t("as published") if len(reports) == 1 else t("{name}, as published", name=name),
                [point["false_positive_rate"]],
                [point["sensitivity"]],
                "points",
                colour,
                [t("operating point, as published")],
            )
        )
    return Chart(
        "slice_roc",
        t("Lesion or no lesion on a slice"),
        t("false-positive rate on empty slices"),
        t("sensitivity on lesion slices"),
        series if rows else [],
        rows,
        x_range=(-0.02, 1.02),
        y_range=(-0.02, 1.02),
    )


def threshold(reports: list[dict]) -> Chart:
    """Mean and median volume Dice at each threshold."""
    rows = _tagged(reports, results.dice_by_threshold)
    series = [
        Series(
            f"{name}, {what}",
            [r["threshold"] for r in part],
            [r[what] for r in part],
            "line",
            colour,
            dashed=what == "median",
        )
        for name, part, colour in _by_model(reports, rows)
        for what in ("mean", "median")
    ]
    published: dict[float, list[str]] = {}
    for report in reports:
        if results.is_full(report):
            published.setdefault(report["protocol"]["threshold"], []).append(report["weights"])
    return Chart(
        "dice_by_threshold",
        t("Volume Dice by threshold"),
        "threshold",
        t("volume Dice"),
        series,
        rows,
        [
            (value, "published" if len(published) == 1 else f"published, {' and '.join(names)}", GREY, True)
            for value, names in published.items()
        ],
        (0, 1),
        (0, 1),
    )


def breakdown(reports: list[dict], by: str) -> Chart:
    """Mean volume Dice by group with its interval over patients."""
    rows = _tagged(reports, lambda report: results.breakdown(report, by))
    series = [
        Series(
            name,
            [r["mean"] for r in part],
            [_group(r, by) for r in part],
            "points",
            colour,
            [
                t(
                    "mean {mean:.3f}, median {median:.3f}, {patients} patients",
                    mean=r["mean"],
                    median=r["median"],
                    patients=r["patients"],
                )
                for r in part
            ],
            [r["low"] for r in part],
            [r["high"] for r in part],
        )
        for name, part, colour in _by_model(reports, [r for r in rows if r["mean"] is not None])
    ]
    title = {"size": t("lesion size")}.get(by, by)
    return Chart(
        f"dice_by_{by}",
        t("Volume Dice by {title}", title=title),
        t("mean volume Dice"),
        "",
        series,
        rows,
        x_range=(0, 1),
    )


def reliability(reports: list[dict]) -> Chart:
    """The share of pixels that are lesion, by the probability they were given."""
    rows = _tagged(reports, results.reliability)
    series = [Series("perfect", [0, 1], [0, 1], dashed=True)]
    for name, part, colour in _by_model(reports, [r for r in rows if r["pixels"]]):
        series.append(
            Series(
                name,
                [r["mean_probability"] for r in part],
                [r["lesion_share"] for r in part],
                "line",
                colour,
                [f"{r['pixels']:,} pixels" for r in part],
            )
        )
    return Chart(
        "reliability",
        t("Calibration: predicted probability against the share that is lesion"),
        t("predicted probability"),
        t("share of lesion pixels"),
        series if rows else [],
        rows,
        x_range=(0, 1),
        y_range=(0, 1),
    )


def _group(row: Row, by: str) -> str:
    return f"{row[by]} ({row['patients']})"


def _tagged(reports: list[dict], rows_of: Callable[[dict], list[Row]]) -> list[Row]:
    """The rows of every report that has them, each with the name of its weights."""
    return [{"weights": report["weights"], **row} for report in reports for row in rows_of(report)]


def _by_model(reports: list[dict], rows: list[Row]) -> Iterator[tuple[str, list[Row], tuple[int, int, int]]]:
    """Name, rows and colour of each model that has rows."""
    for report, colour in zip(reports, MODEL_COLOURS, strict=False):
        if part := [row for row in rows if row["weights"] == report["weights"]]:
            yield report["weights"], part, colour
