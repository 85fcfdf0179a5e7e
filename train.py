"""Train an Attention U-Net from the command line; `unet.training.loop` is the code behind it.

python train.py --data DIR --slices 200000 --run-dir runs/first
python train.py --data DIR --slices 200000 --fold 0 --run-dir runs/fold-0
python train.py --data DIR --run-dir runs/first --resume
python train.py --data DIR --overfit 16 --run-dir runs/overfit
python train.py --data DIR --epochs 60 --filters 64 --strategy mirrored --run-dir runs/gpus
python train.py --data DIR --epochs 60 --run-dir /shared/runs/first --submit ray://head-node
"""

import argparse
import os
import shutil
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from unet.data.folds import all_fold_patients, fold_patients
from unet.data.patients import find_data_root, list_patients
from unet.data.slice_files import DataError
from unet.jobs import queue
from unet.jobs.runners import RayRunner, RunnerError, run_in_background
from unet.training.config import (
    ARCHITECTURES,
    LOSS_NAMES,
    SCHEDULES,
    TrainingConfig,
    augmentation_without,
    overfit_config,
    usual_learning_rate,
)
from unet.training.run_folder import RunFolder, TrainingError, TrainingStopped, read_config
from unet.training.sampling import load_examples, overfit_subset, split_patients
from unet.weights.arrays import WeightsError, load_arrays
from unet.weights.network import find_weights

EXCLUSIVE = ("training_patients", "validation_patients", "overfit", "overfit_patient")  # with --fold, --all-patients


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = parser.add_argument_group("data")
    data.add_argument("--data", help="folder with the patients; default: the one the app would find")
    data.add_argument("--training-patients", type=int, metavar="N", help="learn from so many; default: all")
    data.add_argument("--validation-patients", type=int, metavar="N", help="judge by so many; default: all")
    data.add_argument(
        "--all-patients", action="store_true", help="train on all patients of the five folds, for a release"
    )
    data.add_argument("--fold", type=int, metavar="K", help="validate on fold K of five (0 to 4), train on the others")
    data.add_argument("--overfit", type=int, metavar="N", help="check: learn N slices by heart, Dice above 0.95")
    data.add_argument("--overfit-patient", metavar="ID", help="learn one patient by heart")

    network = parser.add_argument_group("network")
    network.add_argument("--architecture", choices=ARCHITECTURES, default="attention-unet")
    network.add_argument("--filters", type=int, help="width; default: 32, or that of --from-weights")
    network.add_argument(
        "--from-weights", metavar="NAME", help="fine-tune: a name in weights/, a run, or a folder; widened to --filters"
    )

    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--sizes", default="128,160,192", help="sides in pixels, one after the other")
    recipe.add_argument("--slices", type=int, metavar="N", help="length of the run: train on N slices …")
    recipe.add_argument("--epochs", type=int, help="… or on so many epochs …")
    recipe.add_argument("--minutes", type=float, help="… and no longer than so many minutes")
    recipe.add_argument("--epoch-slices", type=int, help="length of an epoch; default: as many as the patients have")
    recipe.add_argument("--batch-size", type=int, default=8, help="of all devices together")
    recipe.add_argument("--learning-rate", type=float, help="peak; default: 1e-3, from 64 filters 5e-4")
    recipe.add_argument("--weight-decay", type=float, default=1e-4, help="of AdamW, times the learning rate")
    recipe.add_argument("--schedule", default="cosine", help=" or ".join(SCHEDULES))
    recipe.add_argument("--loss", default="bce-dice", help=" or ".join(LOSS_NAMES))
    recipe.add_argument("--without", default="", metavar="NAMES", help="augmentation left out: all, or flip,noise …")
    recipe.add_argument("--seed", type=int, default=2026)

    run = parser.add_argument_group("run")
    run.add_argument("--run-dir", type=Path, required=True, help="folder of this run; one at a time computes in runs/")
    run.add_argument("--resume", action="store_true", help="continue the run in --run-dir with its own settings")
    run.add_argument("--strategy", choices=["one", "mirrored", "multi-worker"], default="one", help="devices")
    run.add_argument("--backend", choices=["tensorflow", "jax"], help="what computes; default: TensorFlow")
    run.add_argument("--precision", choices=["float32", "mixed_bfloat16", "mixed_float16"], help="default: fastest")
    run.add_argument(
        "--batch-workers", type=int, metavar="N", help="processes that make batches; default: 1, up to 8 beside a GPU"
    )
    run.add_argument("--submit", metavar="ray://HOST", help="hand this command line to a Ray cluster and return")
    run.add_argument("--no-queue", dest="queue", action="store_false", help="do not wait for other runs beside this")
    run.add_argument("--background", action="store_true", help="give way to other programs; record every ending")
    run.add_argument("--estimate", action="store_true", help="time two steps, print seconds and memory, do not train")
    return parser.parse_args(argv)


def make_config(args: argparse.Namespace) -> TrainingConfig:
    """Return the settings of a new run; its network is that of the weights it starts from, if any."""
    filters, architecture = args.filters or 32, args.architecture
    if args.from_weights:
        weights = find_start(args.from_weights, args.run_dir.parent)
        filters, architecture = args.filters or weights.filters, weights.architecture
    if args.overfit:
        return overfit_config(filters, args.seed, args.epochs or 60)
    return TrainingConfig(
        filters=filters,
        sizes=tuple(int(size) for size in args.sizes.split(",")),
        slices=args.slices,
        epochs=args.epochs,
        minutes=args.minutes,
        fold=args.fold,
        all_patients=args.all_patients,
        batch_size=args.batch_size,
        learning_rate=usual_learning_rate(filters) if args.learning_rate is None else args.learning_rate,
        weight_decay=args.weight_decay,
        loss=args.loss,
        seed=args.seed,
        epoch_slices=args.epoch_slices,
        augmentation=augmentation_without([name for name in args.without.split(",") if name]),
        schedule=args.schedule,
        architecture=architecture,
        from_weights=args.from_weights,
    )


def find_start(name: str, runs: Path):
    """Return the weights to fine-tune: of a run beside this one, else shipped ones or a folder."""
    beside = runs / name / "best"
    return find_weights(beside if Path(name).name == name and beside.exists() else name)


def choose_patients(args: argparse.Namespace) -> tuple[list, list]:
    """Return the patients to learn from and to judge by; a resumed run keeps those it had."""
    patients, problems = list_patients(find_data_root(args.data))
    for problem in problems:
        print(problem, file=sys.stderr)
    by_id = {patient.patient_id: patient for patient in patients}
    if (args.fold is not None or args.all_patients) and not args.resume:
        mode = "--all-patients" if args.all_patients else "--fold"
        if chosen := [name for name in EXCLUSIVE if getattr(args, name) is not None]:
            raise ValueError(f"{mode} and --{chosen[0].replace('_', '-')} both choose patients; leave one out")
        if args.all_patients and args.fold is not None:
            raise ValueError("--fold leaves a fifth of the patients out and --all-patients none; leave one out")
        return all_fold_patients(patients) if args.all_patients else fold_patients(patients, args.fold)
    if args.resume:
        spec = RunFolder(args.run_dir).read_spec()
        wanted = spec["training_patients"], spec["validation_patients"]
    elif args.overfit_patient:
        wanted = [args.overfit_patient], [args.overfit_patient]
    else:
        return split_patients(patients, args.seed, args.training_patients, args.validation_patients)
    if missing := [id_ for group in wanted for id_ in group if id_ not in by_id]:
        raise DataError(f"{len(missing)} patients of this run are not in the folder, the first is {missing[0]}")
    return tuple([by_id[id_] for id_ in group] for group in wanted)


def choose_kernels(config: TrainingConfig) -> None:
    """Keep TensorFlow from its oneDNN kernels where they end the process; to be called before it is imported.

    In TensorFlow 2.21 a network below 16 filters dies ("double free") in its first step at another size. The plain
    kernels do not, and so small a network hardly notices.
    """
    if config.filters < 16 and len(config.sizes) > 1:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def run(args: argparse.Namespace) -> None:
    """Do what the arguments say, in this process."""
    config = read_config(args.run_dir) if args.resume else make_config(args)
    learn, judge = choose_patients(args)
    start = None
    if config.from_weights and not args.resume:
        weights = find_start(config.from_weights, args.run_dir.parent)
        start, _ = load_arrays(weights.path)
    print(f"{len(learn)} training and {len(judge)} validation patients", flush=True)

    with ExitStack() as stack:
        run_dir = args.run_dir
        threads = run_in_background() if args.background else None
        worker = 0
        if args.strategy == "multi-worker":
            if not (config.slices or config.epochs) or config.minutes:
                raise ValueError("several machines need --slices or --epochs, and no --minutes: their clocks differ")
            from unet.training.devices import worker_index

            worker = worker_index()
        if worker:  # computes the same and writes it down beside the run, where nobody looks
            run_dir = args.run_dir / f"worker-{worker}"
            run_dir.mkdir(parents=True, exist_ok=True)
            if args.resume:
                for name in ("checkpoint.npz", "spec.json"):
                    shutil.copy(args.run_dir / name, run_dir)
        elif not args.estimate:
            if not args.background:  # there the page has cleared it, and a new one is meant for this run
                (run_dir / "stop").unlink(missing_ok=True)  # of an earlier time
            stack.enter_context(queue.turn(run_dir, queue=args.queue))

        choose_kernels(config)
        # only now: half a gigabyte and seconds that a waiting run does not need, nor --help or a wrong flag
        from unet.training import devices, loop

        if threads:
            devices.limit_threads(threads)
        strategy = devices.make_strategy(args.strategy)
        if args.estimate:
            from unet.training.estimate import print_estimate

            print_estimate(config, learn, judge)
            return
        if start and config.filters != weights.filters:
            from unet.model import ARCHITECTURES as BUILDERS
            from unet.weights.widening import widen

            start = widen(start, BUILDERS[config.architecture](config.filters, (None, None, 3)), config.seed)
        learn = load_examples(learn[: args.overfit])
        if args.overfit:
            learn = judge = overfit_subset(learn, args.overfit)
        else:
            judge = learn if args.overfit_patient else load_examples(judge)
        options = {"allow_overlap": bool(args.overfit or args.overfit_patient), "start": start, "strategy": strategy}
        options["batch_workers"] = args.batch_workers
        best = loop.train(config, learn, judge, run_dir, resume=args.resume, precision=args.precision, **options)
        print(f"best weights: {best}")


def submit(args: argparse.Namespace, argv: list[str]) -> None:
    """Hand the same command line to a cluster."""
    words = iter(argv)
    arguments = [w for w in words if not w.startswith("--submit=") and not (w == "--submit" and next(words))]
    handle = RayRunner(args.submit).start(arguments)
    print(f"submitted as {handle['job']}; follow it with: ray job logs --follow {handle['job']}")


def end_when_told(run_dir: Path) -> None:
    """Let SIGTERM end the run as a request to stop does."""

    def stop(*_) -> None:
        (run_dir / "stop").touch()  # a library may swallow the error; the next batch finds this
        raise TrainingStopped("told to end")

    signal.signal(signal.SIGTERM, stop)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    args = parse_arguments(argv)
    if args.backend:  # Keras reads it when it is imported, which is later
        os.environ["KERAS_BACKEND"] = args.backend
    try:
        with ExitStack() as stack:
            if args.submit:
                submit(args, argv)
                return 0
            if not args.estimate:  # before anything is written: a refused folder stays as it is
                RunFolder(args.run_dir).check_start(args.resume)
                if args.strategy != "multi-worker":  # whose first worker may be there before the others
                    queue.check_idle(args.run_dir)
            if args.background and not args.estimate:
                stack.enter_context(RunFolder(args.run_dir).recorded_end())
                end_when_told(args.run_dir)
            run(args)
    except (DataError, TrainingError, WeightsError, RunnerError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
