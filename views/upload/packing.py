"""Folders, and files that are many, are sent as one zip each: see packing.js for why."""

from pathlib import Path

from streamlit.components.v2 import component

from unet.language import t

_packer = component("upload_packer", js=Path(__file__).with_name("packing.js").read_text("utf-8"))


def pack_in_the_browser() -> None:
    """Pack what is chosen or dropped on this page's uploader before it is sent; a line says so while it takes time."""
    _packer(
        key="packer",
        data={
            "packing": t("Collecting the files …"),
            "unreadable": t("A file cannot be read. Is the disc still there? Choose the files again."),
            "loose": t("files"),
        },
    )
