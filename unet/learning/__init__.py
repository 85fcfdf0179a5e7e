"""The parts of a training run, for `unet.training`, which is the loop: settings, sampling, devices, what learns."""
