"""Train an Attention U-Net from the command line; `unet.training.loop` is the code behind it.

python train.py --data DIR --slices 200000 --run-dir runs/first
python train.py --data DIR --slices 200000 --fold 0 --run-dir runs/fold-0
python train.py --config request.json --run-dir runs/second
python train.py --data DIR --run-dir runs/first --resume
python train.py --data DIR --overfit 16 --run-dir runs/overfit
python train.py --data DIR --epochs 60 --filters 64 --strategy mirrored --run-dir runs/gpus
python train.py --data DIR --epochs 60 --run-dir /shared/runs/first --submit ray://head-node
python train.py --data DIR --slice-classifier --run-dir runs/slice-classifier
"""

import argparse
import os
import shutil
import signal
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from unet.data.folds import all_fold_patients, fold_patients
from unet.data.patients import find_data_root, list_patients, load_volume
from unet.data.slice_files import DataError
from unet.jobs.request import Request
from unet.jobs.runners import RayRunner, RunnerError, limit_memory, run_in_background
from unet.jobs.turn import check_idle, turn
from unet.training.arguments import add_settings, flag, given_settings
from unet.training.config import OVERFIT, OVERFIT_EPOCHS, TrainingConfig, usual_learning_rate
from unet.training.endings import TrainingError, TrainingStopped
from unet.training.kernels import choose_kernels
from unet.training.run_folder import RunFolder, read_config
from unet.training.sampling import load_examples, overfit_subset, split_patients
from unet.weights.arrays import WeightsError, load_arrays
from unet.weights.network import Weights, find_weights

WHO = ("data", "training_patients", "validation_patients", "overfit", "overfit_patient")  # of a `Request`


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the flags, by default of this process; a setting that is not given stays None."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    who = parser.add_argument_group("patients")
    who.add_argument("--data", type=Path, help="folder with the patients; default: the one the app would find")
    who.add_argument("--training-patients", type=int, metavar="N", help="train on so many; default: all")
    who.add_argument("--validation-patients", type=int, metavar="N", help="validate on so many; default: all")
    who.add_argument("--overfit", type=int, metavar="N", help="check: train and validate on N slices, Dice above 0.95")
    who.add_argument("--overfit-patient", metavar="ID", help="train and validate on one patient")
    add_settings(parser)

    run = parser.add_argument_group("run")
    run.add_argument("--run-dir", type=Path, required=True, help="folder of this run; one at a time computes in runs/")
    run.add_argument(
        "--config", type=Path, metavar="FILE", help="patients and settings as JSON, as the request.json of a run"
    )
    run.add_argument("--resume", action="store_true", help="continue the run in --run-dir with its own settings")
    run.add_argument("--strategy", choices=["one", "mirrored", "multi-worker"], default="one", help="devices")
    run.add_argument("--backend", choices=["tensorflow", "jax"], help="what computes; default: TensorFlow")
    run.add_argument("--precision", choices=["float32", "mixed_bfloat16", "mixed_float16"], help="default: fastest")
    run.add_argument(
        "--batch-workers", type=int, metavar="N", help="processes that make batches; default: 1, up to 8 beside a GPU"
    )
    run.add_argument(
        "--slice-classifier", action="store_true", help="train the network that tells what slices show, not a U-Net"
    )
    run.add_argument("--submit", metavar="ray://HOST", help="hand this command line to a Ray cluster and return")
    run.add_argument("--no-queue", dest="queue", action="store_false", help="do not wait for other runs beside this")
    run.add_argument("--background", action="store_true", help="give way to other programs; record every ending")
    run.add_argument("--memory-limit", type=float, metavar="MB", help="end a run that wants more; Linux, no GPU")
    run.add_argument("--estimate", action="store_true", help="time two steps, print seconds and memory, do not train")
    return parser.parse_args(argv)


def read_request(args: argparse.Namespace) -> Request:
    """Return what the run is asked to do: by a file, or by flags; a resumed run keeps its settings.

    Raises:
        ValueError: the settings make no sense, or differ from those of the run to resume.
        TrainingError: there is no run to resume.
    """
    settings = given_settings(args)
    who = {name: getattr(args, name) for name in WHO if getattr(args, name) is not None}
    if args.config:
        if more := [*who, *settings]:
            raise ValueError(f"--config holds all patients and settings; write {flag(more[0])} into its file")
        request = Request.read(args.config)
        settings = vars(request.config)
    elif args.resume:
        request = Request("", read_config(args.run_dir), **who)
    else:
        request = Request("", make_config(settings, args.run_dir.parent, args.overfit is not None), **who)
    if not args.resume:
        return request
    config = read_config(args.run_dir)
    for name, value in settings.items():
        if (kept := getattr(config, name)) != value:
            raise ValueError(f"a resumed run keeps its settings, here {flag(name)} {kept!r}; leave out {value!r}")
    return replace(request, config=config)


def make_config(settings: dict, runs: Path, overfit: bool = False) -> TrainingConfig:
    """Return the settings of a new run; its network is that of the weights it starts from, if any.

    Args:
        settings: those that were given, by field.
        runs: the folder of runs, to find weights to start from.
        overfit: what was not given suits the overfit check.
    """
    usual: dict = {"filters": 32}
    if overfit:
        usual |= OVERFIT
        if not any(settings.get(name) for name in ("slices", "epochs", "minutes")):
            usual["epochs"] = OVERFIT_EPOCHS
    if "from_weights" in settings:
        weights = find_start(settings["from_weights"], runs)
        usual |= {"filters": weights.filters, "architecture": weights.architecture}
    usual["learning_rate"] = usual_learning_rate((usual | settings)["filters"])
    return TrainingConfig(**(usual | settings))


def find_start(name: str, runs: Path) -> Weights:
    """Return the weights to fine-tune: of a run beside this one, else shipped ones or a folder."""
    beside = runs / name / "best"
    return find_weights(beside if Path(name).name == name and beside.exists() else name)


def choose_patients(request: Request, resumed: Path | None) -> tuple[list, list]:
    """Return the patients to train on and to validate on; a run that is resumed keeps those it had."""
    patients, problems = list_patients(find_data_root(request.data))
    for problem in problems:
        print(problem, file=sys.stderr)
    by_id = {patient.patient_id: patient for patient in patients}
    if resumed:
        spec = RunFolder(resumed).read_spec()
        wanted = spec["training_patients"], spec["validation_patients"]
    elif request.overfit_patient:
        wanted = [request.overfit_patient], [request.overfit_patient]
    elif request.config.all_patients:
        return all_fold_patients(patients)
    elif request.config.fold is not None:
        return fold_patients(patients, request.config.fold)
    else:
        seed = request.config.seed
        return split_patients(patients, seed, request.training_patients, request.validation_patients)
    if missing := [id_ for group in wanted for id_ in group if id_ not in by_id]:
        raise DataError(f"{len(missing)} patients of this run are not in the folder, the first is {missing[0]}")
    learn, judge = ([by_id[id_] for id_ in group] for group in wanted)
    return learn, judge


def load_patients(request: Request, learn: list, judge: list) -> tuple[list, list]:
    """Return the examples to train on and to validate on, which are the same for an overfit check."""
    training = load_examples(learn[: request.overfit])
    if request.overfit:
        training = overfit_subset(training, request.overfit)
    return training, training if request.overfit or request.overfit_patient else load_examples(judge)


def run(args: argparse.Namespace) -> None:
    """Do what the arguments say, in this process."""
    request = read_request(args)
    config = request.config
    learn, judge = choose_patients(request, args.run_dir if args.resume else None)
    start = weights = None
    if config.from_weights and not args.resume:
        weights = find_start(config.from_weights, args.run_dir.parent)
        start, _ = load_arrays(weights.path)
    print(f"{len(learn)} training and {len(judge)} validation patients", flush=True)
    plain_kernels = choose_kernels(config, args.precision)

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
            stack.enter_context(turn(run_dir, queue=args.queue))

        # only now: half a gigabyte and seconds that a waiting run does not need, nor --help or a wrong flag
        from unet.training import devices, loop

        if threads:
            devices.limit_threads(threads)
        strategy = devices.make_strategy(args.strategy)
        if args.memory_limit and not devices.gpus():  # a GPU's driver reserves far more than it takes
            limit_memory(args.memory_limit)
        precision = args.precision or ("float32" if plain_kernels and not devices.gpus() else None)
        if args.estimate:
            from unet.training.estimate import print_estimate

            print_estimate(config, learn, judge, precision)
            return
        if start and weights and config.filters != weights.filters:
            from unet.model import ARCHITECTURES as BUILDERS
            from unet.weights.widening import widen

            start = widen(start, BUILDERS[config.architecture](config.filters, (None, None, 3)), config.seed)
        learn, judge = load_patients(request, learn, judge)
        by_heart = bool(request.overfit or request.overfit_patient)
        options = {"allow_overlap": by_heart, "start": start, "strategy": strategy, "precision": precision}
        options["batch_workers"] = args.batch_workers
        best = loop.train(config, learn, judge, run_dir, resume=args.resume, **options)
        print(f"best weights: {best}")


def train_slice_classifier(args: argparse.Namespace) -> None:
    """Train the small network that tells what slices show, in minutes and without a queue."""
    from unet.training import slice_classifier

    patients, _ = list_patients(find_data_root(args.data))
    groups = split_patients(patients, TrainingConfig.seed)
    training, validation = ([load_volume(patient) for patient in group] for group in groups)
    slice_classifier.train(training, validation, args.run_dir, TrainingConfig.seed)


def submit(args: argparse.Namespace, argv: list[str]) -> None:
    """Hand the same command line to a cluster."""
    words = iter(argv)
    arguments = [w for w in words if not w.startswith("--submit=") and not (w == "--submit" and next(words))]
    handle = RayRunner(args.submit).start(arguments)
    print(f"submitted as {handle['job']}; follow it with: ray job logs --follow {handle['job']}")


def end_when_told(run_dir: Path) -> None:
    """Let SIGTERM end the run as a request to stop does."""

    def stop(*_: object) -> None:
        (run_dir / "stop").touch()  # a library may swallow the error; the next batch finds this
        raise TrainingStopped("told to end")

    signal.signal(signal.SIGTERM, stop)


def main(argv: list[str] | None = None) -> int:
    """Run one command line; return the exit status, 1 after an error that is printed in one line."""
    argv = sys.argv[1:] if argv is None else argv
    args = parse_arguments(argv)
    # Keras and TensorFlow read these when they are imported, which is later
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = args.backend or os.environ.get("KERAS_BACKEND", "tensorflow")
    try:
        with ExitStack() as stack:
            if args.submit:
                submit(args, argv)
                return 0
            if args.slice_classifier:
                train_slice_classifier(args)
                return 0
            if not args.estimate:  # before anything is written: a refused folder stays as it is
                RunFolder(args.run_dir).check_start(args.resume)
                if args.strategy != "multi-worker":  # whose first worker may be there before the others
                    check_idle(args.run_dir)
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
