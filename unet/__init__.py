"""Model and data code of the brain MRI viewer: everything that is not a page.

Nothing here imports Streamlit, and importing this package imports nothing heavy:
TensorFlow comes with `unet.model`, `unet.losses` and `unet.training.loop` only.
"""
