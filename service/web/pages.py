"""The playground at / and the status page: files of this package, held in memory, which contact no other host."""

import mimetypes
from pathlib import Path

from fastapi import FastAPI, Response

from service.errors import NotFound
from service.registry import Registry

FOLDER = Path(__file__).parent / "playground"
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
HEADERS = {
    "content-security-policy": POLICY,
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


def add(app: FastAPI, registry: Registry) -> None:
    files = {file.name: file.read_bytes() for file in FOLDER.iterdir() if file.is_file()}

    def page(name: str) -> Response:
        if name not in files:
            raise NotFound("the playground has no such file")
        kind = mimetypes.guess_type(name)[0]
        return Response(files[name], media_type=kind, headers=HEADERS)

    @app.get("/", include_in_schema=False)
    async def playground() -> Response:
        return page("index.html")

    @app.get("/status", include_in_schema=False)
    async def status() -> Response:
        return page("status.html")

    @app.get("/playground/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        return page(name)

    @app.get("/v1/models/{model}/example/{part}", tags=["models"], summary="A part of the bundle's example, as a file")
    def example(model: str, part: str) -> Response:
        served = registry.get(model).model
        found = served.bundle.example_files().get(part)
        if found is None:
            raise NotFound("the example has no such part")
        headers = {**HEADERS, "content-disposition": f'attachment; filename="{found.name}"'}
        return Response(served.example.parts[part], media_type=mimetypes.guess_type(found.name)[0], headers=headers)
