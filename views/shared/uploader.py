"""What Streamlit's file uploader lacks: the server's sentence on the red chip of a file that it refused."""

from pathlib import Path

from streamlit.components.v2 import component

_FOLDER = Path(__file__).parent
_refusals = component(
    "upload_refusals",
    css=(_FOLDER / "refusals.css").read_text("utf-8"),
    js=(_FOLDER / "refusals.js").read_text("utf-8"),
    isolate_styles=False,
)


def say_refusals() -> None:
    """Make the uploaders of the page say why a file was refused, instead of the status code of the answer."""
    _refusals(key="upload_refusals")
