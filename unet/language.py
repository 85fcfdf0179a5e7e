"""Every text that a user reads, in the user's language: gettext, with English as the source text.

`t("{count} slices", count=3)` looks the English text up in the catalogue of the present language and fills the places.
A text that is made before the language is known (a constant) is marked by `mark`, and looked up by `t` where it is
shown. `make texts` collects the texts of Python and JavaScript in `unet/locale/unet.pot`; a language is a folder
beside it.
"""

import gettext
from contextvars import ContextVar
from functools import cache
from pathlib import Path

SOURCE_LANGUAGE = "en"
LOCALE_FOLDER = Path(__file__).with_name("locale")
_DOMAIN = "unet"
_language: ContextVar[str] = ContextVar("language", default=SOURCE_LANGUAGE)


def languages() -> list[str]:
    """Return the codes of the languages that there are, the source language first."""
    folders = LOCALE_FOLDER.glob(f"*/LC_MESSAGES/{_DOMAIN}.mo")
    return [SOURCE_LANGUAGE, *sorted(folder.parent.parent.name for folder in folders)]


def speak(language: str) -> None:
    """Set the language of the texts that this thread, or this task of an event loop, makes from now on."""
    _language.set(language)


def spoken() -> str:
    """Return the code of the present language."""
    return _language.get()


def t(message: str, /, **places: object) -> str:
    """Return a text in the present language.

    Args:
        message: the English text; `{name}` or `{name:format}` is a place, and then a brace itself is doubled.
        places: what fills the places.
    """
    text = _catalogue(spoken()).gettext(message)
    return text.format(**places) if places else text


def tn(one: str, many: str, n: int, /, **places: object) -> str:
    """Return a text that depends on a number, by the plural rule of the present language; `{n}` is the number."""
    return _catalogue(spoken()).ngettext(one, many, n).format(n=n, **places)


def mark(message: str) -> str:
    """Return a text as it is; it will stand in the catalogue, and `t` looks it up where it is shown."""
    return message


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    return gettext.translation(_DOMAIN, LOCALE_FOLDER, [language], fallback=True)
