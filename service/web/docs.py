"""The page /docs, which shows the OpenAPI document: files of this package, which contact no other host."""

import mimetypes
from pathlib import Path

from fastapi import FastAPI, Response

from service.errors import NotFound
from service.web.pages import FOLDER, HEADERS

OWN = Path(__file__).parent / "reference"
SHARED = ("style.css", "dom.js", "icon.svg")  # with the playground, which may be off


def add(app: FastAPI) -> None:
    paths = [*OWN.iterdir(), *(FOLDER / name for name in SHARED)]
    files = {path.name: path.read_bytes() for path in paths if path.is_file()}

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return page("index.html")

    @app.get("/docs/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        return page(name)

    def page(name: str) -> Response:
        if name not in files:
            raise NotFound("there is no such page")
        return Response(files[name], media_type=mimetypes.guess_type(name)[0], headers=HEADERS)
