"""What a visit leaves behind is freed soon after its browser has gone.

Streamlit keeps a visit for `server.disconnectedSessionTTL` seconds, so that a dropped connection can come back. It
looks at the time only when the next visit begins, and a visit that has run out lives on until Python's collector
finds it.
"""

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from streamlit.runtime import Runtime, get_instance
from streamlit.web.server.starlette import App

from views.server.stored_files import streamlit_files

SECONDS = 10.0  # between two looks


@asynccontextmanager
async def closed_visits_freed(_app: App) -> AsyncGenerator[None]:
    """Free what ended visits held, again and again, while the server runs."""
    task = asyncio.create_task(_free_again_and_again())
    try:
        yield
    finally:
        task.cancel()


async def _free_again_and_again() -> None:
    visits: set[str] = set()
    while True:
        await asyncio.sleep(SECONDS)
        now = living_visits(get_instance())
        if visits - now or free_files(now):
            await asyncio.to_thread(gc.collect)  # a visit and its script's objects refer to each other
        visits = now


def living_visits(runtime: Runtime) -> set[str]:
    """Return the ids of the visits that are connected or may come back."""
    # asking for the list is also what makes Streamlit drop those that have run out
    return {info.session.id for info in runtime._session_mgr.list_sessions()}


def free_files(living: set[str]) -> int:
    """Remove the files of all other visits, an upload that outlived its visit included; return how many visits."""
    manager = streamlit_files()
    gone = [session for session in list(manager.file_storage) if session not in living]
    for session in gone:
        manager.remove_session_files(session)
    return len(gone)
