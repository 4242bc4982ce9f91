"""The page /docs in a browser: every call is there, and no policy is broken (the fixture of `page` holds that)."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect


def test_every_call_is_shown(page: Page) -> None:
    page.goto("/docs")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Braid")
    page.locator("summary", has_text="/v1/models/digits/predict").click()
    expect(page.locator("pre:visible")).to_contain_text("curl")
    expect(page.locator("pre:visible")).to_contain_text("-F image=@FILE")
    found = Axe().run(page).response["violations"]
    assert not [one["id"] for one in found if one["impact"] in ("serious", "critical")]
