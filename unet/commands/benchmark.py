"""`python -m unet benchmark`: speed of the engines, and of the running app."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from unet.commands.arguments import new_file
from unet.language import t
from unet.paths import PROJECT_FOLDER


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    command = commands.add_parser("benchmark", help=t("speed of the engines as ratios to keras.predict"))
    command.add_argument("--json", type=new_file, metavar="OUT", help=t("write the figures here"))
    command.add_argument(
        "--app", action="store_true", help=t("also the running app: cold start, scrolling, 30 visitors")
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
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
