"""python -m unet COMMAND: all that the project does without the app, apart from a single training run."""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from unet.commands.predict import parse_formats
from unet.data.patients import find_data_root, list_patients
from unet.data.slice_files import DataError
from unet.data.splits import published_splits
from unet.export.formats import FORMAT_NAMES
from unet.inference.engines import InferenceError
from unet.inference.segmenter import Segmenter, quick_precision
from unet.jobs.runners import RunnerError
from unet.paths import PROJECT_FOLDER
from unet.scans.scan import IngestError
from unet.training.run_folder import TrainingError
from unet.weights.arrays import WeightsError
from unet.weights.network import DEFAULT_WEIGHTS, find_weights


def evaluate(args: argparse.Namespace) -> None:
    from unet.evaluation import evaluate as evaluation

    if args.out_of_fold:
        from unet.release.ship import evaluate_out_of_fold

        runs = args.out_of_fold.expanduser().resolve()
        evaluate_out_of_fold(runs, args.weights, args.data, args.engine, args.json, args.markdown, args.keep)
        return
    patients, problems = list_patients(find_data_root(args.data))
    for problem in problems:
        print(problem, file=sys.stderr)
    chosen = evaluation.choose_patients(patients, args.patients, args.split)
    if not args.open_test:
        evaluation.keep_test_closed(chosen)
    segmenter = Segmenter(find_weights(args.weights), args.engine)
    if args.protocol == "full" or args.markdown:
        from unet.release.ship import evaluate_full

        evaluate_full(segmenter, chosen, args.split, args.json, args.markdown)
        return
    scores = []
    for score in evaluation.evaluate(segmenter, chosen):
        scores.append(score)
        print(f"{len(scores):3d}/{len(chosen)}  {score.patient_id}  {score.raw:.4f}", file=sys.stderr)
        for problem in score.problems:
            print(problem, file=sys.stderr)
    result = evaluation.report(scores, segmenter.weights.name)
    print(f"{segmenter.weights.name}, {segmenter.engine_name}, {len(scores)} patients, every slice, native grid")
    print(evaluation.table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def tune(args: argparse.Namespace) -> None:
    from unet.release.ship import tune

    tune(args.weights, args.data, args.engine, write=not args.dry_run)


def card(args: argparse.Namespace) -> None:
    from unet.release.ship import write_card

    write_card(args.weights, args.run_dir, args.note)


def compare(args: argparse.Namespace) -> None:
    from unet.reports import markdown, results

    print(markdown.comparison(results.read_report(args.first), results.read_report(args.second)))


def release(args: argparse.Namespace) -> None:
    from unet.release.ship import release

    release(args.weights, args.run_dir, args.data, args.splits.split(","), args.engine, args.note, args.tune)


def cross_validate(args: argparse.Namespace) -> None:
    from unet.jobs import cross_validation

    run_dir = args.run_dir.expanduser().resolve()
    recipe = cross_validation.keep_recipe(run_dir, args.recipe)
    if args.data:
        recipe = [*recipe, f"--data={Path(args.data).expanduser().resolve()}"]
    if not args.submit:
        cross_validation.run_folds(run_dir, recipe, args.folds)
        return
    for fold, job in cross_validation.submit_folds(run_dir, recipe, args.folds, args.submit, args.gpus).items():
        print(f"fold {fold}: submitted as {job}; follow it with: ray job logs --follow {job}")


def predict(args: argparse.Namespace) -> None:
    from unet.commands.predict import predict

    weights = find_weights(args.weights)
    segmenter = Segmenter(weights, args.engine, quick_precision(weights))  # as the page, voxel by voxel
    threshold = segmenter.weights.threshold if args.threshold is None else args.threshold
    lines, problems = predict(segmenter, args.paths, args.output, args.format, threshold)
    print("\n".join(lines))
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise DataError(f"{len(problems)} of the files could not be used; the others are in {args.output}")


def quantise(args: argparse.Namespace) -> None:
    from unet.release.quantise import quantise as make_int8

    patients = {patient.patient_id: patient for patient in list_patients(find_data_root(args.data))[0]}
    train, validation = (
        [patients[patient_id] for patient_id in published_splits()[split] if patient_id in patients]
        for split in ("train", "validation")
    )
    if not train or not validation:
        raise DataError("quantising needs patients of the published training and validation splits. Check --data.")
    entry = make_int8(find_weights(args.weights), train, validation)
    before, after = entry["validation_dice_before"], entry["validation_dice"]
    print(f"validation, mean volume Dice: {before} in float, {after} in int8")


def benchmark(args: argparse.Namespace) -> None:
    from unet.benchmark.run import run_benchmark

    result = run_benchmark()
    if args.app:
        result["app"] = _benchmark_app()
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def _benchmark_app() -> dict:
    """Measure the running app in a process of its own: nothing in here imports Streamlit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "app.json")
        subprocess.run([sys.executable, "-m", "views.benchmark", "--json", path], cwd=PROJECT_FOLDER, check=True)
        return json.loads(path.read_text())


def download(args: argparse.Namespace) -> None:
    from unet.data.download import download_dataset

    def show(share: float, message: str) -> None:
        print(f"\r{share:4.0%}  {message:60}", end="", file=sys.stderr, flush=True)

    print(f"\nThe data set is in {download_dataset(args.output, show)}")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m unet", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("evaluate", help="volume Dice per patient")
    command.add_argument("--data", help="folder with the patients; default: the one the app would find")
    command.add_argument("--patients", type=Path, metavar="FILE.json", help="list of ids, or lists by split")
    command.add_argument("--split", help="train, validation or test, or a name in FILE.json")
    command.add_argument(
        "--out-of-fold",
        type=Path,
        metavar="RUNS",
        help="full protocol of a cross-validation: every patient by the network that has not seen it, by the threshold "
        "and post-processing of --weights",
    )
    command.add_argument(
        "--keep-probabilities", dest="keep", action="store_true", help="… and keep them in the runs, as uint8"
    )
    command.add_argument("--open-test", action="store_true", help="score test patients; a release does so by itself")
    command.add_argument("--json", type=_new_file, metavar="OUT", help="write the scores here")
    command.add_argument("--protocol", choices=["short", "full"], default="short", help="full: all that is published")
    command.add_argument("--markdown", type=_new_file, metavar="OUT.md", help="write the full protocol as a page")
    command.set_defaults(run=evaluate)

    command = commands.add_parser("tune", help="choose threshold and post-processing on the validation patients")
    command.add_argument("--data", help="folder with the patients; default: the one the app would find")
    command.add_argument("--dry-run", action="store_true", help="print, and leave config.json as it is")
    command.set_defaults(run=tune)

    command = commands.add_parser("release", help="from a training run to shipped weights: copy, tune, evaluate, card")
    command.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="run to ship; default: what is in weights/ already"
    )
    command.add_argument("--data", help="folder with the patients; default: the one the app would find")
    command.add_argument("--splits", default="validation,phantoms,test", help="what to evaluate; default: %(default)s")
    command.add_argument("--note", action="append", default=[], help="a sentence for the card")
    command.add_argument("--no-tune", dest="tune", action="store_false", help="keep the settings in config.json")
    command.set_defaults(run=release)

    command = commands.add_parser("predict", help="masks of your own DICOM, NIfTI, TIFF, PNG or JPEG")
    command.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="files, zips or folders")
    command.add_argument("--output", type=Path, required=True, metavar="DIR")
    command.add_argument("--format", type=parse_formats, default="png", help=f"with commas: {', '.join(FORMAT_NAMES)}")
    command.add_argument("--threshold", type=_share, help="from 0 to 1; default: the one of the weights")
    command.set_defaults(run=predict)

    command = commands.add_parser("quantise", help="make the int8 network, if it stays as good")
    command.add_argument("--data", help="folder with the patients; default: the one the app would find")
    command.set_defaults(run=quantise)

    for name, command in commands.choices.items():
        command.add_argument("--weights", default=DEFAULT_WEIGHTS, help="name in weights/, or a folder")
        if name != "quantise":
            command.add_argument("--engine", default="auto", choices=["auto", "openvino", "keras"])

    command = commands.add_parser(
        "cross-validate",
        allow_abbrev=False,  # --fold is an argument of train.py
        help="train the networks of the five folds, or resume them",
        usage="%(prog)s --run-dir DIR [--folds 0,1] [--data DIR] [--submit ray://HOST [--gpus N]] [OF train.py …]",
    )
    command.add_argument("--run-dir", type=Path, required=True, metavar="DIR", help="folder of the five runs")
    command.add_argument("--folds", type=_folds, default="0,1,2,3,4", help="some of 0 to 4; default: %(default)s")
    command.add_argument("--data", help="folder with the patients; default: the one the app would find")
    command.add_argument("--submit", metavar="ray://HOST", help="hand each fold to a Ray cluster and return")
    command.add_argument("--gpus", type=float, default=0, metavar="N", help="of the cluster, for each fold")
    command.set_defaults(run=cross_validate)

    command = commands.add_parser("card", help="write a weight card from config.json and the evaluations beside it")
    command.add_argument("--weights", default=DEFAULT_WEIGHTS, help="name in weights/, or a folder")
    command.add_argument("--run-dir", type=Path, metavar="DIR", help="take what made the weights from this run")
    command.add_argument("--note", action="append", default=[], help="a sentence for the card")
    command.set_defaults(run=card)

    command = commands.add_parser("compare", help="two evaluations side by side, paired by patient")
    command.add_argument("first", type=Path, metavar="A.json")
    command.add_argument("second", type=Path, metavar="B.json")
    command.set_defaults(run=compare)

    command = commands.add_parser("benchmark", help="speed of the engines as ratios to keras.predict")
    command.add_argument("--json", type=_new_file, metavar="OUT", help="write the figures here")
    command.add_argument("--app", action="store_true", help="also the running app: cold start, scrolling, 30 visitors")
    command.set_defaults(run=benchmark)

    command = commands.add_parser("download", help="fetch the data set from Kaggle")
    command.add_argument("--output", type=Path, metavar="DIR", help="default: the kagglehub cache")
    command.set_defaults(run=download)
    args, args.recipe = parser.parse_known_args(argv)
    if args.recipe and args.run is not cross_validate:
        parser.error(f"unrecognized arguments: {' '.join(args.recipe)}")
    return args


def _folds(text: str) -> list[int]:
    """Numbers of folds, with commas."""
    if not re.fullmatch("[0-4](,[0-4])*", text):
        raise argparse.ArgumentTypeError(f"{text}: expected numbers from 0 to 4 with commas, such as 0,1")
    return sorted({int(number) for number in text.split(",")})


def _new_file(text: str) -> Path:
    """A file to write; refused before the work is done, and not after it."""
    if not Path(text).parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: the folder {Path(text).parent} is not there; make it first")
    return Path(text)


def _share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 0 to 1, such as 0.5")
    return value


def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    try:
        args.run(args)
    except (DataError, IngestError, InferenceError, WeightsError, RunnerError, TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
