"""The sub-commands of `python -m unet`: each module adds its own to the parser, and imports its work when it runs."""
