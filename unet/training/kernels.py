"""Which kernels TensorFlow computes with; to be chosen before it is imported, so this module does without it."""

import os
from pathlib import Path

from unet.training.config import TrainingConfig


def multiplies_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 in hardware."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def choose_kernels(config: TrainingConfig, precision: str | None) -> bool:
    """Keep TensorFlow from its oneDNN kernels where they end the process.

    In TensorFlow 2.21 a network below 16 filters dies with them ("double free", or a segmentation fault): in float32 at
    once, in bfloat16 in its first step at another size. The plain kernels do not, and in float32 so small a network
    hardly notices; in bfloat16 they take ten times as long.

    Args:
        config: settings of the run; its width and sizes decide.
        precision: a Keras policy that was asked for.

    Returns:
        Whether the plain kernels were chosen, which want float32.
    """
    in_float32 = precision == "float32" if precision else not multiplies_bfloat16()
    if config.filters >= 16 or not (in_float32 or len(config.sizes) > 1):
        return False
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    return True
