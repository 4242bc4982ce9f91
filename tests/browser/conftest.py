"""A real Chromium on a real server; whatever a test does, the page contacts nobody else and breaks no policy."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from service.bundle import Bundle
from tests import senses, test_boxes, towers
from tests.process import ROOT, Server, serve

DIGITS = ROOT / "models/bundles/digits"
ARGUMENTS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="package")
def server(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("browser")
    box = {"kind": "regression", "tensor": "measures", "names": ["words", "light", "noise"]}
    vector = {"kind": "embedding", "tensor": "measures"}
    needs = {"values": ["text", "audio"]}
    others = [
        senses.write(folder / "values", "values", outputs={"measures": box}),
        senses.write(folder / "careful", "careful", outputs={"values": box, "vector": vector}, needs=needs),
        senses.write(folder / "vectors", "vectors", outputs={"meaning": vector}),
        senses.write(folder / "strict", "strict", policy="reject"),
        test_boxes.write(folder / "letterbox", "letterbox"),
        towers.write(folder / "browser" / "colours"),
    ]
    with serve(DIGITS, bundle.folder, *(other.folder for other in others)) as running:
        yield running


@pytest.fixture(scope="package")  # it has an event loop of its own, which others would meet
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "no Chromium: apt-get install chromium"
    spoken = f"--use-file-for-fake-audio-capture={DIGITS / 'example/audio.wav'}"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS, spoken])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    origin = str(server.client.base_url).rstrip("/")
    context = browser.new_context(base_url=origin, permissions=["microphone", "camera", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.add_init_script(
        "window.violations = []; addEventListener('securitypolicyviolation', (event) => "
        "violations.push(event.violatedDirective + ' ' + event.blockedURI))"
    )
    asked: list[str] = []
    broken: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto("/")
    yield page
    assert not broken
    assert page.evaluate("violations") == []
    assert [url for url in asked if not url.startswith((origin, "blob:"))] == []
    context.close()
