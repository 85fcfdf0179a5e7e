"""What tests know of the viewer in the page: its state, its pixels and when it has come to rest."""

import base64

import numpy as np

from unet import overlay
from unet.data.volume import FLAIR
from views.benchmark import FIND_VIEWER


def probe(page, expression: str, argument=None):
    """Evaluate a JavaScript expression of `viewer` and `argument` in the page."""
    return page.evaluate(f"argument => {{ const viewer = {FIND_VIEWER}; return {expression}; }}", argument)


def wait_for_view(page, condition: str = "true", argument=None) -> None:
    """Wait until the viewer has drawn every slice and a JavaScript condition of `viewer` holds."""
    page.wait_for_function(
        f"""argument => {{
            const viewer = {FIND_VIEWER};
            return viewer?.study?.shape && !viewer.follows && !viewer.frame
                && viewer.study.arrived(viewer.model.id) === viewer.data.shape[0] && ({condition});
        }}""",
        arg=argument,
        timeout=120_000,
    )


def open_app(page, address: str, query: str = "") -> None:
    page.goto(f"{address}/{query}")
    wait_for_view(page)


def rested(page) -> None:
    """Wait until the viewer has written the link and told Python."""
    page.wait_for_timeout(700)


def native_pixels(page, pane: int = 0) -> np.ndarray:
    """Return what a pane paints before it is scaled to the screen, (height, width, 3) RGB."""
    width, height, data = probe(
        page,
        """(() => {
            const { width, height, data } = viewer.panes[argument].image;
            let bytes = "";
            for (let i = 0; i < data.length; i += 32768) bytes += String.fromCharCode(...data.subarray(i, i + 32768));
            return [width, height, btoa(bytes)];
        })()""",
        pane,
    )
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3]


def flair_of(volume, index: int) -> np.ndarray:
    """Return a slice as the viewer opens it, (height, width, 3) uint8."""
    window = overlay.display_window(volume.images[:, ::4, ::4, FLAIR])
    return overlay.grey_to_rgb(overlay.to_display(volume.images[index, ..., FLAIR], window))
