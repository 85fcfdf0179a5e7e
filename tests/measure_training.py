"""Measure what a test of seconds cannot: run on a quiet machine.

python -m tests.measure_training kills --count 50     random kill -9 of real training; checkpoints, lost epochs
python -m tests.measure_training latency              live inference, idle and beside a run
python -m tests.measure_training overfit              seconds until the preset's training Dice passes 0.9
python -m tests.measure_training augmentation         both curves of the preset pair, and a picture of them
python -m tests.measure_training throughput           train.py's step against a plain Keras fit in float32
python -m tests.measure_training batches --size 160   slices a second made by one thread and by several processes
python -m tests.measure_training memory               peak memory of runs of three steps, beside the estimate
python -m tests.measure_training restart              the page after its server was killed, in Chromium
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from unet.data.patients import DEMO_FOLDER, find_data_root, list_patients, load_volume
from unet.jobs import index, queue
from unet.jobs.request import Request
from unet.training.augmentation import NO_AUGMENTATION
from unet.training.config import TrainingConfig
from unet.training.footprint import peak_memory, volume_bytes
from unet.weights.arrays import load_arrays
from unet.weights.network import find_weights

PROJECT = Path(__file__).resolve().parent.parent
PHANTOMS = {"data": DEMO_FOLDER, "training_patients": 4, "validation_patients": 2}
SMALL = {"filters": 8, "sizes": (64,), "learning_rate": 5e-3}


def wait_until(condition, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("it did not happen in time")
        time.sleep(0.1)


def finish(run_id: str) -> index.Run:
    wait_until(lambda: not index.find_run(run_id).active, 3600)
    return index.find_run(run_id)


def kills(args) -> None:
    """Kill a run at random moments of its training; resume it each time."""
    run_id = queue.start(Request("kills", TrainingConfig(epochs=100_000, epoch_slices=16, **SMALL), **PHANTOMS))
    # before the first checkpoint there is nothing to lose: such a run starts over
    wait_until(lambda: queue.RunFolder(index.runs_folder() / run_id).checkpoint.exists())
    loadable = lost = 0
    for number in range(args.count):
        run = index.find_run(run_id)
        before = len(run.folder.read_metrics())
        wait_until(lambda before=before: len(index.find_run(run_id).folder.read_metrics()) > before)
        time.sleep(random.uniform(0, 3))
        os.kill(run.folder.read_process()["pid"], signal.SIGKILL)
        wait_until(lambda: not index.find_run(run_id).active)
        run = index.find_run(run_id)
        epoch = load_arrays(run.folder.checkpoint)[1]["epoch"]
        queue.weights_of(run)
        loadable += 1
        rows = run.folder.read_metrics()
        lost = max(lost, len(rows) - epoch)
        print(f"{number + 1:3d}: {run.state}, checkpoint of epoch {epoch}, {len(rows)} rows", flush=True)
        queue.resume(run)
    queue.stop(index.find_run(run_id)).join()
    rows = index.find_run(run_id).folder.read_metrics()
    steady = [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    print(f"{loadable} of {args.count} checkpoints and best weights load; at most {lost} finished epochs lost; ")
    print(f"curve without gap or double epoch: {steady}; last state {index.find_run(run_id).state}")


def latency(args) -> None:
    """Time slices through the network as Explore runs it, idle and beside a background run."""
    from unet.inference.segmenter import Segmenter

    segmenter, image = Segmenter(find_weights()), load_volume(list_patients(DEMO_FOLDER)[0][0]).images[12]

    def median_milliseconds() -> float:
        times = []
        for _ in range(args.count):
            started = time.perf_counter()
            segmenter.predict(image)
            times.append(1000 * (time.perf_counter() - started))
            time.sleep(0.05)  # a visitor looks in between
        return statistics.median(times)

    median_milliseconds()
    idle = median_milliseconds()
    run_id = queue.start(Request("latency", TrainingConfig(filters=16, sizes=(128,), minutes=10), **PHANTOMS))
    wait_until(lambda: index.find_run(run_id).status.get("step", 0) > 3)
    busy = median_milliseconds()
    queue.stop(index.find_run(run_id)).join()
    print(f"median of {args.count}: idle {idle:.0f} ms, beside a run {busy:.0f} ms, {busy / idle:.2f} ×")


def overfit(args) -> None:
    """Run the preset "Overfit one patient" and report when its Dice passes 0.9."""
    root = find_data_root()
    patients, _ = list_patients(root)
    from unet.training.sampling import split_patients

    patient = split_patients(patients, 0)[0][0].patient_id
    config = TrainingConfig(
        filters=16, sizes=(128,), minutes=5, epoch_slices=128, learning_rate=3e-3, augmentation=NO_AUGMENTATION
    )
    started = time.monotonic()
    run = finish(queue.start(Request("overfit", config, root, overfit_patient=patient)))
    rows = run.folder.read_metrics()
    passed = next((row["seconds"] for row in rows if row["validation_dice"] > 0.9), None)
    best = max(row["validation_dice"] for row in rows)
    print(f"{patient}: {run.state}, best Dice {best:.4f}, above 0.9 after {passed} s of training; ")
    print(f"{time.monotonic() - started:.0f} s in all, process start included")


def augmentation(args) -> None:
    """Run the preset pair and report both curves as measured."""
    from dataclasses import replace

    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    config = TrainingConfig(minutes=args.minutes, epoch_slices=96, **SMALL)
    ids = {
        "with": queue.start(Request("with augmentation", config, **PHANTOMS)),
        "without": queue.start(
            Request("without augmentation", replace(config, augmentation=NO_AUGMENTATION), **PHANTOMS)
        ),
    }
    for name, run_id in ids.items():
        rows = finish(run_id).folder.read_metrics()
        dice = [row["validation_dice"] for row in rows]
        print(f"{name} augmentation: {len(rows)} epochs, best Dice {max(dice):.4f}, last {dice[-1]:.4f}, ")
        print("  loss " + " ".join(f"{row['loss']:.3f}" for row in rows[:: max(1, len(rows) // 8)]))
        plt.plot([row["seconds"] / 60 for row in rows], dice, label=f"{name} augmentation")
    plt.xlabel("minutes")
    plt.ylabel("validation volume Dice")
    plt.legend()
    plt.savefig(args.picture)
    print(f"both curves: {args.picture}")


FIT = """
import os, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import keras, numpy as np
from unet.model import attention_unet
model = attention_unet({filters}, ({size}, {size}, 3))
network = keras.Model(model.input, model.output["probability"])
network.compile("adam", "binary_crossentropy")
x = np.random.default_rng(0).normal(size=({batch} * 12, {size}, {size}, 3)).astype("float32")
y = (x[..., :1] > 1).astype("float32")
network.fit(x[:{batch} * 2], y[:{batch} * 2], batch_size={batch}, verbose=0)
started = time.time()
network.fit(x, y, batch_size={batch}, verbose=0, shuffle=False)
print("slices/s", len(x) / (time.time() - started))
"""

OURS = """
import os, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import sys, keras, tensorflow as tf
from unet.data.patients import DEMO_FOLDER, list_patients
from unet.training.devices import mixed_precision_policy
from unet.training.learner import Learner
from unet.training.sampling import SliceSampler, load_examples
from unet.training.config import TrainingConfig
from concurrent.futures import ThreadPoolExecutor
keras.config.set_dtype_policy(mixed_precision_policy())
config = TrainingConfig(filters={filters}, sizes=({size},), epochs=1, batch_size={batch})
sampler = SliceSampler(load_examples(list_patients(DEMO_FOLDER)[0]), {batch}, 0, config.augmentation)
learner = Learner(config, tf.distribute.get_strategy(), None)
for step in range(2):
    learner.step(*sampler.batch(step, {size}), 1e-4)
    learner.update_average(step + 1)
started = time.time()
with ThreadPoolExecutor(1) as pool:  # as the loop does: the next batch is drawn and augmented meanwhile
    coming = pool.submit(sampler.batch, 0, {size})
    for step in range(12):
        batch = coming.result()
        coming = pool.submit(sampler.batch, step + 1, {size})
        learner.step(*batch, 1e-4)
        learner.update_average(step + 3)
    seconds = time.time() - started
print("slices/s", {batch} * 12 / seconds)
"""


def throughput(args) -> None:
    """Compare slices a second, each in its own process, interleaved three times."""
    rates = {"fit": [], "train.py": []}
    numbers = {"filters": args.filters, "size": args.size, "batch": 8}
    for _ in range(3):
        for name, program in (("fit", FIT), ("train.py", OURS)):
            command = [sys.executable, "-c", program.format(**numbers)]
            done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr[-1500:])
            rates[name].append(float(done.stdout.split()[-1]))
    fit, ours = (statistics.median(rates[name]) for name in ("fit", "train.py"))
    print(f"{args.filters} filters, {args.size}², batch 8: Keras fit in float32 {fit:.1f} slices/s, the step of ")
    print(f"train.py (augmentation and average included) {ours:.1f}, {ours / fit:.2f} ×")


def batches(args) -> None:
    """Compare how many slices a second one thread and several processes make, without a network, in turns."""
    from contextlib import ExitStack

    from unet.training.augmentation import Augmentation
    from unet.training.batches import make_batches
    from unet.training.sampling import SliceSampler, load_examples

    examples = load_examples(list_patients(find_data_root())[0][:20])
    sampler = SliceSampler(examples, 8, 0, Augmentation())
    with ExitStack() as stack:
        makers = {n: stack.enter_context(make_batches(examples, sampler, n, args.size)) for n in (1, args.workers)}

        def rate(workers: int, steps: range) -> float:
            started = time.perf_counter()
            for make_rows in makers[workers].of(steps, args.size):
                make_rows(range(8))
            return 8 * len(steps) / (time.perf_counter() - started)

        rounds = []
        for number in range(args.count + 1):
            steps = range(40 * number, 40 * number + 40)
            one, several = rate(1, steps), rate(args.workers, steps)
            if number:  # in the first one the processes still start
                rounds.append((one, several))
                print(f"{one:5.0f} and {several:5.0f} slices/s, {several / one:.2f} ×", flush=True)
    ratios = [several / one for one, several in rounds]
    print(
        f"{args.size}²: one thread {statistics.median(one for one, _ in rounds):.0f} slices/s, {args.workers} workers "
    )
    print(f"{statistics.median(several for _, several in rounds):.0f}; ratio {statistics.median(ratios):.2f} ×, ")
    print(f"from {min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} rounds")


def memory(args) -> None:
    """Print the peak of `train.py` on phantoms for several networks, sizes and batches, in float32."""
    for filters, size, batch in (
        (8, 64, 8), (16, 128, 8), (16, 192, 24), (32, 128, 8), (32, 128, 32), (32, 256, 8), (64, 128, 8),
    ):  # fmt: skip
        config = TrainingConfig(filters, (size,), batch_size=batch, slices=3 * batch, epoch_slices=2 * batch)
        request = Request("", config, **PHANTOMS)
        command = [
            sys.executable,
            "train.py",
            *request.arguments(),
            "--precision=float32",
            "--no-queue",
            "--background",
        ]
        with tempfile.TemporaryDirectory() as folder:
            process = subprocess.Popen([*command, f"--run-dir={folder}/run"], cwd=PROJECT, stdout=subprocess.DEVNULL)
            peak = 0
            while process.poll() is None:
                status = Path(f"/proc/{process.pid}/status").read_text()
                peak = max([peak, *(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)])
                time.sleep(0.1)
        estimated = peak_memory(config, volume_bytes(list_patients(DEMO_FOLDER)[0])) / 1e6
        print(f"{filters} filters, {size}², batch {batch}: {peak * 1024 / 1e6:,.0f} MB, estimated {estimated:,.0f}")


def restart(args) -> None:
    """Kill the server during a run and see how soon the page of a new one shows it."""
    from views.app_process import running_browser, running_server, wait_until_healthy

    run_id = queue.start(Request("restart", TrainingConfig(minutes=30, epoch_slices=64, **SMALL), **PHANTOMS))
    pid = index.find_run(run_id).folder.read_process()["pid"]
    wait_until(lambda: len(index.find_run(run_id).folder.read_metrics()) > 1)
    with running_browser() as browser:
        for number in range(2):
            with running_server() as (host, server):
                wait_until_healthy(host, server)
                address = f"http://{host}"
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                started = time.monotonic()
                page.goto(f"{address}/training?run={run_id}")
                page.get_by_role("button", name="Stop").wait_for(timeout=60_000)
                page.locator("input[data-epochs]").wait_for(timeout=60_000)
                print(f"server {number + 1}: run on the page after {time.monotonic() - started:.1f} s")
                page.close()
            # `running_server` has ended the server by now; the run must not care
    run = index.find_run(run_id)
    print(f"run {run.state}, same process: {run.folder.read_process()['pid'] == pid}")
    queue.stop(run).join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what", choices=["kills", "latency", "overfit", "augmentation", "throughput", "batches", "memory", "restart"]
    )
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--picture", type=Path, default=Path(tempfile.gettempdir()) / "augmentation.png")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UNET_RUNS"] = folder
        globals()[args.what](args)


if __name__ == "__main__":
    main()
