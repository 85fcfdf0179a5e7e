"""The sub-commands of `python -m unet`, one file each."""
