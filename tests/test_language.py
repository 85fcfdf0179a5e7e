"""Every text that a user reads is in the catalogue, and the pages show it through the catalogue."""

import ast
import gettext
import io
import json
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from babel.messages.pofile import read_po
from streamlit.testing.v1 import AppTest

from unet import language
from unet.paths import DEMO_FOLDER

PROJECT = Path(__file__).resolve().parent.parent
SOURCES = [
    *sorted((PROJECT / "unet").rglob("*.py")),
    *sorted((PROJECT / "views").rglob("*.py")),
    *sorted((PROJECT / "pages").glob("*.py")),
    PROJECT / "streamlit_app.py",
    PROJECT / "train.py",
]
# fields of Streamlit's messages that hold no text, or text that is data: files, patients, codes of a choice
NO_TEXT = re.compile(
    r"anchor|autocomplete|bytes|color|columns|component_name|config|css_class|css_content|data|default_string|"
    r"deferred_file_id|delta_color|element_id|form_id|format|formatted_id|fragment_id|gap|icon|"
    r"id|js_content|key|language|page|page_script_hash|query_param_key|query_string|raw_values|set_value|"
    r"size|spec|style|subset|theme|type|url|user_key"
)


class Bracketed(gettext.NullTranslations):
    """A language that tells a text of the catalogue by the brackets around it; places are filled as usual."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"


def texts_of(message) -> Iterator[tuple[str, str]]:
    """Yield (field, text) of a message of Streamlit's protocol and all within it."""
    for field, value in message.ListFields():
        if NO_TEXT.fullmatch(field.name):
            continue
        for one in value if field.is_repeated else [value]:
            if field.message_type is not None:
                if not field.message_type.GetOptions().map_entry:
                    yield from texts_of(one)
            elif field.name == "json":  # what a component gets, by name
                yield from ((field.name, text) for text in json.loads(one).values() if isinstance(text, str))
            elif isinstance(one, str):
                yield field.name, one


def outside_the_catalogue(text: str) -> str:
    """Return what of a text stands in no brackets and has words."""
    while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", "", text)) != text:
        text = shorter
    return text if re.search(r"[A-Za-z]{3}", text) else ""


def untranslated(app: AppTest) -> set[str]:
    """Return what a page shows that did not come from the catalogue."""
    shown = [text for element in app._tree if (proto := getattr(element, "proto", None)) for _, text in texts_of(proto)]
    return {rest.strip() for text in shown if (rest := outside_the_catalogue(text))}


@pytest.fixture
def bracketed(monkeypatch):
    monkeypatch.setattr(language, "_catalogue", lambda _: Bracketed())


@pytest.fixture
def app(bracketed, monkeypatch, tmp_path) -> AppTest:
    st.cache_data.clear()
    st.cache_resource.clear()
    monkeypatch.setenv("UNET_DATA", str(DEMO_FOLDER))
    monkeypatch.setenv("UNET_RUNS", str(tmp_path / "runs"))
    started = AppTest.from_file("../streamlit_app.py", default_timeout=120)
    started.query_params["simple_viewer"] = "true"
    return started.run()


# what a page may show as it is: names of files, of patients and of weights, and words that are the same everywhere
DATA = re.compile(
    r"PHANTOM_\w+|TCGA_\w+|attention-unet-\d+|<[^>]*>|&emsp;|:[\w-]+\[|:material/\w+:|\\\w+|aligned|\(#\w+\)|CSV|PNG"
)


@pytest.mark.parametrize("page", ["explore", "learn", "upload", "results", "training"])
def test_every_text_of_a_page_is_in_the_catalogue(app, page):
    if page != "explore":
        app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    assert {text for text in untranslated(app) if re.search("[A-Za-z]{3}", DATA.sub("", text))} == set()


def test_the_check_sees_a_text_that_is_not_in_the_catalogue(bracketed):
    def page():
        import streamlit

        from unet.language import t

        streamlit.button(t("In the catalogue"), help="Not in it")

    assert untranslated(AppTest.from_function(page).run()) == {"Not in it"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("t", "tn", "mark"):
            yield node.func.id, node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_place_of_a_text_is_filled(path):
    for name, call in calls(path):
        literals = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        given = {one.arg for one in call.keywords} | ({"n"} if name == "tn" else set())
        for message in literals if name != "mark" and (given or name == "tn") else []:
            places = {place for _, place, _, _ in string.Formatter().parse(message) if place is not None}
            assert places <= given, f"{path.name}:{call.lineno}: {message}"


def test_a_text_is_filled_in_the_language_that_is_spoken(bracketed):
    assert language.t("{count:,} slices of {name}", count=1200, name="A") == "⟦1,200 slices of A⟧"
    assert language.tn("{n} slice", "{n} slices", 1) == "⟦1 slice⟧"
    assert language.tn("{n} slice", "{n} slices", 2) == "⟦2 slices⟧"


def test_a_language_without_a_catalogue_is_english():
    language.speak("xx")
    try:
        assert language.t("Patient {name}", name="A") == "Patient A"
    finally:
        language.speak(language.SOURCE_LANGUAGE)
    assert language.languages() == ["en"]


def test_the_catalogue_is_the_newest(tmp_path):
    """`make texts` writes it; a text that changed without it would stay English in every language."""
    options = ["-q", "extract", "-F", "pyproject.toml", "-k", "t", "-k", "tn:1,2", "-k", "mark", "--omit-header", "-o"]
    command = [sys.executable, "-m", "babel.messages.frontend", *options, str(tmp_path / "unet.pot"), "."]
    subprocess.run(command, check=True, cwd=PROJECT)
    committed, found = (
        {str(message.id) for message in read_po(io.BytesIO(path.read_bytes()))}
        for path in (PROJECT / "unet" / "locale" / "unet.pot", tmp_path / "unet.pot")
    )
    assert found - committed == set()
    assert committed - found == set()
