"""A report as somebody gets it: made in the gallery, opened from the disk without a network, and printed."""

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from segmentation.runs.run import SHIPPED, Run

Open = Callable[..., Page]

LARGEST = 3 << 20
"""Bytes of a report."""

A4 = {"width": 688, "height": 1009}
"""The text's pixels on a page of A4, at 96 a inch, within the margins of 14 and 15 mm."""

CUT = """height => [...document.querySelectorAll('figure, tr, .tiles, .command')]
    .filter(box => box.getBoundingClientRect().height > height).length"""

UNSEEN = "() => [...document.images].filter(image => !image.naturalWidth).length"

WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_a_report_opens_from_the_disk_and_prints(
    demo_address: str, open_page: Open, browser: Browser, tmp_path: Path, screenshots: Path
) -> None:
    page = open_page(f"{demo_address}/Worst-case_gallery?run=demo-unet")
    page.get_by_role("button", name="Report", exact=False).first.click()
    page.get_by_role("button", name="Make the report").click()
    button = page.get_by_role("button", name="Download the report")
    expect(button).to_be_visible()
    with page.expect_download() as download:
        button.click()
    assert download.value.suggested_filename == "demo-unet-report.html"
    path = tmp_path / "report.html"
    download.value.save_as(path)
    assert path.stat().st_size < LARGEST

    context = browser.new_context(offline=True, color_scheme="dark", viewport={"width": 400, "height": 800})
    report, complaints, asked = context.new_page(), [], []
    report.on("console", lambda message: complaints.append(message.text))
    report.on("pageerror", lambda error: complaints.append(str(error)))
    report.on("request", lambda request: asked.append(request.url[:5]))
    report.goto(path.as_uri())
    metrics = Run(SHIPPED / "demo-unet").metrics
    expect(report.locator("#answer")).to_contain_text(f"its mean IoU is {metrics.mean_iou:.3f}")
    expect(report.locator("#worst .picture img")).not_to_have_count(0)
    assert report.evaluate(UNSEEN) == 0
    assert report.evaluate(WIDER) <= 0
    assert ground(report) != "rgb(255, 255, 255)"
    report.screenshot(path=screenshots / "report-400-dark.png", full_page=True)

    report.set_viewport_size(A4)
    report.emulate_media(media="print")
    assert ground(report) == "rgb(255, 255, 255)"
    assert report.evaluate(WIDER) <= 0
    assert report.evaluate(CUT, A4["height"]) == 0
    printed = report.pdf(prefer_css_page_size=True)
    assert 5 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 20
    assert complaints == [] and set(asked) <= {"file:", "data:"}
    context.close()


def ground(page: Page) -> str:
    """The colour behind the text."""
    return page.evaluate("() => getComputedStyle(document.body).backgroundColor")
