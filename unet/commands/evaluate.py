"""`python -m unet evaluate`: volume Dice per patient."""

import argparse
import json
import sys
from pathlib import Path

from unet.commands.arguments import add_data, add_engine, add_weights, new_file
from unet.data.patients import find_data_root, list_patients
from unet.inference.segmenter import Segmenter
from unet.language import t
from unet.weights.network import find_weights


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    command = commands.add_parser("evaluate", help=t("volume Dice per patient"))
    add_data(command)
    command.add_argument("--patients", type=Path, metavar="FILE.json", help=t("list of ids, or lists by split"))
    command.add_argument("--split", help=t("train, validation or test, or a name in FILE.json"))
    command.add_argument(
        "--out-of-fold",
        type=Path,
        metavar="RUNS",
        help=t(
            "full protocol of a cross-validation: each patient is scored with the network that was "
            "not trained on it, with the threshold and post-processing of --weights"
        ),
    )
    command.add_argument(
        "--keep-probabilities",
        dest="keep",
        action="store_true",
        help=t("… and keep the probabilities in the runs, as uint8"),
    )
    command.add_argument(
        "--open-test", action="store_true", help=t("score test patients; `release` does this by itself")
    )
    command.add_argument("--json", type=new_file, metavar="OUT", help=t("write the scores here"))
    command.add_argument(
        "--protocol", choices=["short", "full"], default="short", help=t("full: all published figures")
    )
    command.add_argument("--markdown", type=new_file, metavar="OUT.md", help=t("write the full protocol as a web page"))
    add_weights(command)
    add_engine(command)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Score patients: the short protocol, the full one, or that of a cross-validation."""
    if args.out_of_fold:
        _score_out_of_fold(args)
        return
    from unet.evaluation import evaluate as evaluation

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
    print(
        t(
            "{weights}, {engine_name}, {count} patients, every slice, native grid",
            weights=segmenter.weights.name,
            engine_name=segmenter.engine_name,
            count=len(scores),
        )
    )
    print(evaluation.table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def _score_out_of_fold(args: argparse.Namespace) -> None:
    from unet.release.ship import evaluate_out_of_fold

    runs = args.out_of_fold.expanduser().resolve()
    evaluate_out_of_fold(runs, args.weights, args.data, args.engine, args.json, args.markdown, args.keep)
