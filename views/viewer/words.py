"""The viewer's texts: its JavaScript and HTML speak the language of the page.

English is written where it is shown: in `t("…")` and `mark("…")` of the scripts, in `data-t` and `aria-label` of
`viewer.html`. Another language reaches the browser as a dictionary of all of them.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO

from unet.language import SOURCE_LANGUAGE, spoken, t

_FOLDER = Path(__file__).with_name("js")
_STRING = r'"((?:[^"\\]|\\.)+)"'
_CALL = re.compile(rf"\b(?:t|mark)\(\s*{_STRING}")
_LABEL = re.compile(r'(?:aria-label="|data-t>)([^"<{]+)')


def viewer_words(further: Iterable[str] = ()) -> dict[str, str]:
    """Return the viewer's texts by their English, in the present language; empty in English, which needs none.

    Args:
        further: texts that Python sends to the viewer in English.
    """
    return {} if spoken() == SOURCE_LANGUAGE else {text: t(text) for text in (*_texts(), *further)}


def extract_html(file: BinaryIO, keywords: object, comment_tags: object, options: object) -> Iterator[tuple]:
    """Yield the texts of an HTML file for Babel, as (line, function, text, comments)."""
    for number, line in enumerate(file.read().decode("utf-8").splitlines(), 1):
        for found in _LABEL.finditer(line):
            yield number, None, found[1], []


@cache
def _texts() -> list[str]:
    scripts = "\n".join(path.read_text("utf-8") for path in sorted(_FOLDER.glob("*.js")))
    page = (_FOLDER / "viewer.html").read_text("utf-8")
    return list(dict.fromkeys([*_CALL.findall(scripts), *_LABEL.findall(page)]))
