"""Debian's Chromium under Playwright, and what is to be seen of a page in it. The fixtures come in through conftest.py."""

from __future__ import annotations

import itertools
import shutil

import pytest

# The last three keep Chromium from looking up its maker's hosts.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")  # not longer: while Playwright runs, asyncio.run() fails in the whole process
def browser():
    """Start Chromium; skip where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install 'tfrecall[test]'")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium to look at pages with: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def page_in_browser(browser, tmp_path):
    """Return a function that opens HTML and returns Playwright's page; no page may complain or load anything more."""
    contexts, complaints, numbers = [], [], itertools.count()

    def opened(html: str, width: int = 1200, scheme: str = "light", *, strict: bool = True):
        file = tmp_path / f"page{next(numbers)}.html"
        file.write_text(html, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        if strict:
            page.on("console", lambda message: complaints.append(f"console: {message.text}"))
            page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
            page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
            page.on("request", lambda request: request.url == file.as_uri() or complaints.append(f"request: {request.url}"))
        page.goto(file.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def cut_off(page) -> list[str]:
    """Name the elements that stand out of the window, or out of what their box scrolls to, and letters out of their SVG."""
    return page.evaluate("""() => {
        const found = [];
        const width = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth > width) found.push(`the page: ${document.documentElement.scrollWidth}`);
        for (const element of document.body.querySelectorAll("*:not(svg *)")) {
            const box = element.getBoundingClientRect();
            const region = element.parentElement.closest(".scroll");
            const clipped = region && getComputedStyle(region).overflowX !== "visible";
            const left = clipped ? region.getBoundingClientRect().left - region.scrollLeft : 0;
            const right = clipped ? left + region.scrollWidth : width;
            if (box.width && (box.left < left - 0.5 || box.right > right + 0.5))
                found.push(`${element.tagName} ${element.textContent.slice(0, 30)}: ${box.left} to ${box.right}`);
        }
        for (const text of document.querySelectorAll("svg text")) {
            const [box, frame] = [text, text.closest("svg")].map((element) => element.getBoundingClientRect());
            const across = box.left < frame.left - 1 || box.right > frame.right + 1;
            if (across || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
                found.push(`svg ${text.textContent}: ${box.left} to ${box.right} in ${frame.left} to ${frame.right}`);
        }
        return found;
    }""")


def faint(page, least: float = 4.5) -> list[str]:
    """Name the letters whose contrast to what is behind them, after WCAG 2, is less than `least`."""
    return page.evaluate(
        """(least) => {
        const parse = (colour) => {
            const [red, green, blue, alpha = 1] = colour.match(/[\\d.]+/g).map(Number);
            return [red, green, blue, alpha];
        };
        const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
        const luminance = ([...rgb]) => {
            const [r, g, b] = rgb.slice(0, 3).map((value) => {
                const share = value / 255;
                return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const behind = (element) => {
            for (let at = element; at; at = at.parentElement) {
                const colour = parse(getComputedStyle(at).backgroundColor);
                if (colour[3] === 1) return colour;
            }
            return [255, 255, 255, 1];
        };
        const found = [];
        let seen = 0;
        for (const element of document.body.querySelectorAll("*:not(script)")) {
            const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
            if (!own || !element.getClientRects().length) continue;
            // Letters in a picture that have a colour of their own stand on something else than the page.
            if (element.closest("svg") && !["", "currentcolor"].includes(element.style.fill)) continue;
            const style = getComputedStyle(element);
            const letters = parse(element.closest("svg") ? style.fill : style.color);
            if (element.closest("svg")) letters[3] *= Number(style.fillOpacity);
            const paper = behind(element);
            const [light, dark] = [luminance(over(letters, paper)), luminance(paper)].sort((a, b) => b - a);
            const contrast = (light + 0.05) / (dark + 0.05);
            seen += 1;
            const words = element.textContent.slice(0, 30);
            if (contrast < least) found.push(`${element.tagName} ${words}: ${contrast.toFixed(2)}`);
        }
        if (!seen) found.push("no letters at all");
        return found;
    }""",
        least,
    )


def column(page, index: int, table: int = 0) -> list[str]:
    """Return a column's cells from top to bottom, as they are shown."""
    return page.locator("table").nth(table).locator(f"tbody tr > :nth-child({index + 1})").all_inner_texts()


def background(page) -> str:
    """Return the page's colour, as CSS writes it."""
    return page.evaluate("getComputedStyle(document.body).backgroundColor")
