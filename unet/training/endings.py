"""How a training run ended, and how good its result is, in words. Knows no TensorFlow, so that a page may read it."""

import errno
import math
from collections.abc import Sequence

from unet.data.slice_files import DataError
from unet.language import mark, t
from unet.weights.arrays import WeightsError

FINISHED, STOPPED, FAILED, OUT_OF_MEMORY, DISK_FULL = (
    mark("finished"),
    mark("stopped"),
    mark("failed"),
    mark("out of memory"),
    mark("disk full"),
)
ENDINGS = (FINISHED, STOPPED, FAILED, OUT_OF_MEMORY, DISK_FULL)
DISK_FULL_ERRORS = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
# from which Dice on, and what it means
MEANINGS = (
    (0.8, mark("the masks are close to the expected ones")),
    (0.6, mark("the masks cover most of the lesions")),
    (0.3, mark("the masks cover part of the lesions")),
    (0.0, mark("the masks hardly touch the lesions")),
)
WORSE = 0.05  # a last epoch that is so far below the best says that the run should have ended earlier


class TrainingError(RuntimeError):
    """A run that cannot go on; the message says what was seen and what to try."""


class TrainingStopped(TrainingError):
    """Someone asked the run to stop."""


def describe_end(error: BaseException) -> tuple[str, str]:
    """Return how a run ended, one of `ENDINGS`, and the reason in words.

    >>> describe_end(OSError(28, "No space left on device"))[0]
    'disk full'
    """
    chain, cause = [], error
    while cause is not None and cause not in chain:  # a library may wrap the error that matters
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(isinstance(one, OSError) and one.errno in DISK_FULL_ERRORS for one in chain):
        return DISK_FULL, t("The disk is full. The earlier checkpoint and best weights are intact. Free space.")
    # by name: this module is read by pages, which never load TensorFlow
    if any(isinstance(one, MemoryError) or type(one).__name__ == "ResourceExhaustedError" for one in chain):
        return OUT_OF_MEMORY, t(
            "The run had too little memory. Choose fewer filters, a smaller size or a smaller batch."
        )
    if any(isinstance(one, TrainingStopped | KeyboardInterrupt) for one in chain):
        return STOPPED, t("Stopped on request. It can be resumed after its last finished epoch.")
    if isinstance(error, TrainingError | DataError | WeightsError | ValueError):
        return FAILED, str(error)
    lines = str(error).splitlines()
    return FAILED, f"{type(error).__name__}: {lines[0] if lines else t('no message')}"


def describe_result(dice: Sequence[float], by_heart: bool = False) -> str:
    """Return how good a run became, and what to do about it.

    Args:
        dice: mean validation volume Dice after each epoch, in [0, 1] or nan; an empty sequence gives an empty text.
        by_heart: the slices that validate are those it was trained on.

    >>> describe_result([0.2, 0.7, 0.4])
    'Best mean volume Dice 0.700, after epoch 2 of 3: the masks cover most of the lesions. Later epochs were worse: \
choose a shorter run or a lower learning rate.'
    """
    known = [(value, -epoch) for epoch, value in enumerate(dice, 1) if not math.isnan(value)]
    if not known:
        return t("No validation slice shows a lesion, so there is no volume Dice.") if dice else ""
    best, epoch = max(known)[0], -max(known)[1]
    if best == 0:
        return t("No mask touched a lesion (volume Dice 0): the run was too short, or its learning rate too high.")
    meaning = next(t(words) for least, words in MEANINGS if best >= least)
    words = t(
        "Best mean volume Dice {best:.3f}, after epoch {epoch} of {count}: {meaning}.",
        best=best,
        epoch=epoch,
        count=len(dice),
        meaning=meaning,
    )
    if by_heart:
        return t(
            "{result} The run was validated on its own training slices: this is a check, not a score.", result=words
        )
    if epoch == len(dice) and len(dice) > 2:
        return t("{result} The last epoch was the best: a longer run may be better.", result=words)
    if dice[-1] < best - WORSE:
        return t("{result} Later epochs were worse: choose a shorter run or a lower learning rate.", result=words)
    return words
