"""From a training run to shipped weights."""
