"""Where a run stands: in its checkpoint, in `status.json` and as a bar in the terminal."""

import math
import sys
from dataclasses import dataclass

from unet.training.config import TrainingConfig

BAR_CELLS = 30


@dataclass
class Progress:
    """Where a run stands; all of it is in the checkpoint."""

    step: int = 0
    epoch: int = 0
    seconds: float = 0.0
    best: float = -1.0
    moving_average: float = math.nan

    def share_done(self, config: TrainingConfig, epoch_steps: int) -> float:
        """Share of the run that is behind us, in [0, 1], by slices, epochs or time, whichever is further."""
        shares = [0.0]
        if config.slices:
            shares.append(self.step * config.batch_size / config.slices)
        if config.epochs:
            shares.append(self.step / (config.epochs * epoch_steps))
        if config.minutes:
            shares.append(self.seconds / (60 * config.minutes))
        return min(1.0, max(shares))

    def status(self, state: str, share: float) -> dict:
        """Return what `status.json` says; the seconds that are left are those so far, continued."""
        return {
            "state": state,
            "progress": round(share, 4),
            "seconds": round(self.seconds, 1),
            "seconds_left": round(self.seconds * (1 - share) / share, 1) if share else None,
            "epoch": self.epoch,
            "step": self.step,
            "best_validation_dice": max(0.0, self.best),
        }


def draw_bar(share: float, step: int) -> None:
    """Draw how much is done over the last line of a terminal; where the output is a file, do nothing."""
    if not sys.stderr.isatty():
        return
    done = int(BAR_CELLS * share)
    sys.stderr.write(f"\r[{'█' * done}{'·' * (BAR_CELLS - done)}] {share:4.0%}  {step} ")
    sys.stderr.flush()
