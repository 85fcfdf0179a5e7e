"""The host's settings of the server, read from the environment."""

import os
from dataclasses import dataclass
from typing import Self

from unet.language import t


@dataclass(frozen=True)
class ServerSettings:
    """Settings that a host may change; the defaults suit one computer, opened from that computer."""

    allowed_hosts: tuple[str, ...] = ()
    frame_ancestors: str = "'self'"
    metrics: bool = False
    upload_bytes: int = 8 << 30
    connections_per_address: int = 100
    proxies: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls) -> Self:
        """Read the settings.

        Raises:
            ValueError: a number is none; the message names the variable.
        """
        default = cls()
        return cls(
            allowed_hosts=_words("UNET_ALLOWED_HOSTS"),
            frame_ancestors=" ".join(_words("UNET_FRAME_ANCESTORS")) or default.frame_ancestors,
            metrics=os.environ.get("UNET_METRICS", "").strip().lower() == "on",
            upload_bytes=_number("UNET_UPLOADS_MB", default.upload_bytes >> 20) << 20,
            connections_per_address=_number("UNET_CONNECTIONS", default.connections_per_address),
            proxies=_words("UNET_PROXIES"),
        )


def _words(name: str) -> tuple[str, ...]:
    """Return the words of a variable, which commas or spaces part."""
    return tuple(os.environ.get(name, "").replace(",", " ").split())


def _number(name: str, default: int) -> int:
    """Return a variable's positive whole number."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(t("{name} is {text!r}; expected a whole number above 0.", name=name, text=text))
    return int(text)
