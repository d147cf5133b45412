"""The dashboard of an installed package, opened from an empty folder."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.driver import free_port, serving, wait_until_still


def test_the_installed_command_opens_the_dashboard_with_its_demo(
    installed: tuple[Path, dict[str, str]], open_page: Callable[..., Page], tmp_path: Path
) -> None:
    folder, environment = installed
    port = free_port()
    command = [folder / "venv" / "bin" / "segmentation", "dashboard", "--port", str(port), "--no-browser"]
    with serving(command, port, environment, tmp_path / "log", folder / "empty") as address:
        page = open_page(address)
        link = page.locator("a[href*='Worst-case_gallery?data=Demo+city&run=demo-unet']").first
        expect(link).to_be_visible()
        link.click()
        expect(page.get_by_role("heading", name="Worst-case gallery", level=1)).to_be_visible()
        wait_until_still(page)
        expect(page.get_by_role("img").first).to_be_visible()
        expect(page.locator("[data-testid=stException], [data-testid=stAlert]")).to_have_count(0)
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert list((folder / "empty").iterdir()) == []
    assert (folder / "user" / "aerial-segmentation" / "demo-data").is_dir()
