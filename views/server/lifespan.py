"""What the server does at its start, while it runs, and at its end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from streamlit.web.server.starlette import App

from unet.scans.private_folders import remove_own_folders, sweep_folders
from unet.scans.sandbox import end_children
from views.server.closed_visits import closed_visits_freed


@asynccontextmanager
async def server_lifespan(app: App) -> AsyncGenerator[None]:
    """Leave nothing of a visitor on the disk: neither what a killed server left, nor what this one would leave."""
    await asyncio.to_thread(sweep_folders)
    async with closed_visits_freed(app):
        yield
    # after a signal Uvicorn raises it again, which ends the process without Python's own cleaning up
    end_children()
    remove_own_folders()
