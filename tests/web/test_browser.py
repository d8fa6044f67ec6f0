"""The page in a real Chromium, and the server as the process that a person starts and ends."""

from __future__ import annotations

import asyncio
import http.server
import io
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.tui.nuclei_run import NucleiRun
from tests.web.serving import DEADLINE, WL, children, is_gone, wait_until
from tui.plugin import tui

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
FOREIGN = "evil.example"
GROUND_TRUTH = (86, 180, 233)

# textual.js keeps its terminal to itself, and draws on a canvas: the one object that gets a
# property "terminal" with a buffer is caught, and its buffer read.
CATCH_THE_TERMINAL = """
Object.defineProperty(Object.prototype, "terminal", {configurable: true, set(value) {
    Object.defineProperty(this, "terminal", {value, writable: true, configurable: true});
    if (value && value.buffer) window.caught = value;
}})
"""
SCREEN = """() => {
    const terminal = window.caught, lines = [];
    for (let row = 0; terminal && row < terminal.rows; row++)
        lines.push(terminal.buffer.active.getLine(row).translateToString(true));
    return lines.join("\\n");
}"""

LOOK = 0.1  # seconds between two looks at a page, each of which costs the browser something

OPEN_A_WEBSOCKET = """address => new Promise(resolve => {
    const socket = new WebSocket(address);
    socket.onopen = () => resolve("open");
    socket.onerror = () => resolve("error");
})"""


@contextmanager
def served(run: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server and its link."""
    process = subprocess.Popen(
        [*WL, "--port", "0", *options, str(run)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            link = process.stdout.readline().strip()
            assert link.startswith("http://127.0.0.1:"), process.communicate()
            yield process, link
        except AssertionError as error:
            process.kill()
            error.add_note(f"The server said:\n{process.communicate()[1]}")
            raise
        finally:
            process.kill()


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-3d-apis",  # without a graphics card they cost seconds
                f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1",
            ],
        )
        with browser:
            yield browser


@contextmanager
def page_at_another_port() -> Iterator[str]:
    """The address of an empty page of another server of this machine: same site, other origin."""

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    with http.server.HTTPServer(("127.0.0.1", 0), Empty) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Tab:
    """A page with the application, read as text."""

    def __init__(self, context: BrowserContext, link: str) -> None:
        context.add_init_script(CATCH_THE_TERMINAL)
        self.page = context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._console)
        self.page.goto(link)
        self.page.wait_for_url(link.partition("?")[0])  # the token is not left in the address

    def _console(self, message: Any) -> None:
        if message.type == "error":  # such as what the page's policy forbids
            self.complaints.append(f"{message.text} {message.location}")

    def screen(self) -> str:
        return str(self.page.evaluate(SCREEN))

    def wait(self, condition: Callable[[str], bool], what: str) -> str:
        seen = ""

        def is_there() -> bool:
            nonlocal seen
            seen = self.screen()
            assert not self.page.get_by_text("The session has ended").is_visible()
            return condition(seen)

        try:
            wait_until(is_there, what, LOOK)
        except AssertionError:
            raise AssertionError(f"never came: {what}\n{seen}") from None
        return seen

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def pixels_of(self, colour: tuple[int, int, int]) -> int:
        """How many pixels of the page have that colour, nearly: it is drawn in steps of 5."""
        picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        difference = np.abs(np.asarray(picture, np.int16) - colour)
        return int((difference <= 5).all(-1).sum())


def first_sample(screen: str) -> str:
    return screen[screen.index("tile_") :][:7]


@needs_chromium
def test_it_opens_filters_sorts_shows_the_overlay_and_lets_no_one_else_in(
    nuclei: NucleiRun,
) -> None:
    with served(nuclei.path) as (server, link), chromium() as browser:
        origin = link.partition("/?")[0]
        context = browser.new_context(viewport={"width": 1000, "height": 600})
        tab = Tab(context, link)
        tab.wait(lambda screen: "tile_00" in screen and "training" in screen, "the samples")
        nuclei.train(2)
        tab.wait(lambda screen: "step 5" in screen, "the two steps")
        it_sorts_filters_and_shows_the_overlay(tab)
        nobody_else_is_let_in(browser, context, link)
        tab.page.reload()
        tab.wait(lambda screen: "tile_00" in screen, "the samples after a reload")
        assert {url.split("/")[2] for url in tab.requests} == {origin.split("/")[2]}
        assert tab.complaints == []
        it_ends_with_ctrl_c(server, tab)


def it_sorts_filters_and_shows_the_overlay(tab: Tab) -> None:
    first = first_sample(tab.screen())
    tab.press("l", "l", "s")
    tab.wait(lambda screen: first_sample(screen) != first, "another order")
    tab.press("/")
    tab.page.keyboard.type("train_bce/sample > 0.5")
    tab.press("Enter")
    tab.wait(lambda screen: " of 16 " in screen, "fewer samples")
    tab.press("Enter")
    tab.wait(lambda screen: "▸1 Samples" not in screen and "ground truth" in screen, "the sample")
    # Its name in the legend has that colour on about a thousand pixels, the outlines on more.
    wait_until(lambda: tab.pixels_of(GROUND_TRUTH) > 5000, "the overlay", LOOK)
    tab.press("Escape")
    tab.wait(lambda screen: "▸1 Samples" in screen, "the main screen")
    tab.press("d")
    tab.wait(lambda screen: "read-only: nothing can be changed" in screen, "that it is read-only")


def nobody_else_is_let_in(browser: Browser, context: BrowserContext, link: str) -> None:
    """Pages and browsers that are real, against a server in use."""
    origin = link.partition("/?")[0]
    port = origin.rpartition(":")[2]
    another = browser.new_context()
    statuses = {
        "no token": status(another, f"{origin}/"),
        "the token, replayed": status(another, link),
        "a foreign Host": status(context, f"http://{FOREIGN}:{port}/"),
        "a foreign Host, with the token": status(another, link.replace("127.0.0.1", FOREIGN)),
    }
    assert statuses == dict.fromkeys(statuses, 403)
    with page_at_another_port() as elsewhere:
        # Same site: the browser sends the cookie along, and the Origin alone tells.
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(elsewhere)
        opened = page.evaluate(OPEN_A_WEBSOCKET, f"ws://127.0.0.1:{port}/ws")
        assert opened == "error"
        assert any("Unexpected response code: 403" in text for text in said), said
        page.close()
    another.close()


def status(context: BrowserContext, url: str) -> int:
    """What a page that goes there is answered."""
    page = context.new_page()
    response = page.goto(url)
    page.close()
    assert response is not None
    return response.status


def it_ends_with_ctrl_c(server: subprocess.Popen[str], tab: Tab) -> None:
    (child,) = children(server.pid)
    server.send_signal(signal.SIGINT)
    tab.page.get_by_text("The session has ended").wait_for()
    wait_until(lambda: is_gone(child), "the end of the child")
    _, said = server.communicate(timeout=DEADLINE)
    assert server.returncode == 130, said
    assert "ssh -L" in said
    assert "Traceback" not in said


def test_when_the_server_is_killed_its_children_end(nuclei: NucleiRun) -> None:
    with served(nuclei.path) as (server, link):
        child = asyncio.run(kill_with_a_tab_open(server, link))
        wait_until(lambda: is_gone(child), "the end of the child")


async def kill_with_a_tab_open(server: subprocess.Popen[str], link: str) -> int:
    """The tab's process."""
    origin = link.partition("/?")[0]
    jar = aiohttp.CookieJar(unsafe=True)  # else it keeps no cookies of an address
    async with asyncio.timeout(DEADLINE), aiohttp.ClientSession(cookie_jar=jar) as browser:
        assert (await browser.get(link)).status == 200
        async with browser.ws_connect(f"{origin}/ws", headers={"Origin": origin}) as tab:
            await tab.receive()
            (child,) = children(server.pid)
            server.kill()
            async for _ in tab:
                pass
    return child


def test_options_of_the_browser_are_refused_in_the_terminal(nuclei: NucleiRun) -> None:
    result = CliRunner().invoke(tui, ["--port", "1", str(nuclei.path)])
    assert result.exit_code == 2
    assert "--port and --allow-control are for --web" in result.output
