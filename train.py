"""Train an Attention U-Net from the command line; `unet.training` is the code behind it.

python train.py --data DIR --minutes 150 --run-dir runs/first
python train.py --data DIR --run-dir runs/first --resume
python train.py --data DIR --overfit 16 --run-dir runs/overfit
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from unet.data import DataError, find_data_root, list_patients, published_splits


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with the patients; default: the one the app would find")
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--sizes", default="128,160,192", help="sides in pixels, one after the other")
    parser.add_argument("--epochs", type=int, help="length of the run in epochs …")
    parser.add_argument("--minutes", type=float, help="… or in minutes")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="peak; 5e-4 suits 64 filters")
    parser.add_argument("--loss", default="bce-dice", help="bce-dice or focal-tversky")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of this run")
    parser.add_argument("--resume", action="store_true", help="continue the run in --run-dir with its own settings")
    parser.add_argument("--overfit", type=int, metavar="N", help="check: learn N slices by heart, Dice above 0.95")
    return parser.parse_args()


def main() -> int:
    args = parse_arguments()
    # after the arguments, so that --help and a wrong flag answer at once
    from unet import training
    from unet.sampling import load_examples, overfit_subset

    try:
        patients, problems = list_patients(find_data_root(args.data))
        for problem in problems:
            print(problem, file=sys.stderr)
        by_split = {
            split: [patient for patient in patients if patient.patient_id in ids]
            for split, ids in published_splits().items()
        }
        if not by_split["train"]:
            raise training.TrainingError("no patient of the published training split is in this folder")
        print(f"{len(by_split['train'])} training and {len(by_split['validation'])} validation patients")
        learn = load_examples(by_split["train"][: args.overfit])
        if args.overfit:
            config = training.overfit_config(args.filters, args.seed)
            learn = judge = overfit_subset(learn, args.overfit)
        else:
            judge = load_examples(by_split["validation"])
            config = training.read_config(args.run_dir) if args.resume else None
            config = config or training.TrainingConfig(
                filters=args.filters,
                sizes=tuple(int(size) for size in args.sizes.split(",")),
                epochs=args.epochs,
                minutes=args.minutes,
                batch_size=args.batch_size,
                learning_rate=args.learning_rate,
                loss=args.loss,
                seed=args.seed,
            )
        best = training.train(config, learn, judge, args.run_dir, resume=args.resume)
    except (DataError, training.TrainingError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"best weights: {best}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
