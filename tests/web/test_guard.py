"""What the server answers to whoever is not its one browser, request by request."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.tui.nuclei_run import NucleiRun
from tests.web.serving import ask, children, is_gone, serving
from tui.plugin import tui
from tui.web.server import Server, listen
from wl_core.errors import MissingExtraError, UsageError

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}

TAB_SECONDS = 20


@pytest.fixture
async def server(nuclei: NucleiRun) -> AsyncIterator[Server]:
    async with serving(nuclei.path) as one:
        yield one


async def opened(server: Server) -> dict[str, str]:
    """Open the link as the first browser does; the headers that it sends from then on."""
    host = f"127.0.0.1:{server.port}"
    answer = await ask(server.port, server.link.partition(host)[2], {"Host": host})
    assert answer.status == 200
    return {"Host": host, "Cookie": answer.headers["set-cookie"].partition(";")[0]}


async def test_every_attack_is_forbidden(server: Server) -> None:
    own = await opened(server)
    host, origin = own["Host"], f"http://{own['Host']}"
    token = server.link.partition(host)[2]
    stranger, name = {"Host": host}, own["Cookie"].partition("=")[0]
    shaking = HANDSHAKE | own
    attacks = {
        "no token": await ask(server.port, "/", stranger),
        "a wrong token": await ask(server.port, "/?token=x", stranger),
        "a token that is no ASCII": await ask(server.port, "/?token=%ff%00%C3%A9", stranger),
        "the token replayed from another browser": await ask(server.port, token, stranger),
        "a wrong cookie": await ask(server.port, "/", stranger | {"Cookie": f"{name}=x"}),
        "an empty cookie": await ask(server.port, "/", stranger | {"Cookie": f"{name}="}),
        "a static file without the cookie": await ask(
            server.port, "/static/js/textual.js", stranger
        ),
        "the stylesheet without the cookie": await ask(server.port, "/page.css", stranger),
        "a download without the cookie": await ask(server.port, "/download/key", stranger),
        "a path that is not there without the cookie": await ask(server.port, "/x", stranger),
        "a foreign Host": await ask(server.port, "/", own | {"Host": "evil.example"}),
        "a foreign Host with the right port": await ask(
            server.port, "/", own | {"Host": f"evil.example:{server.port}"}
        ),
        "another port in the Host": await ask(server.port, "/", own | {"Host": "127.0.0.1:1"}),
        "no Host": await ask(server.port, "/", {"Cookie": own["Cookie"]}, version="1.0"),
        "a foreign Origin": await ask(server.port, "/", own | {"Origin": "http://evil.example"}),
        "another port in the Origin": await ask(
            server.port, "/", own | {"Origin": "http://127.0.0.1:1"}
        ),
        "the other name in the Origin": await ask(
            server.port, "/", own | {"Origin": f"http://localhost:{server.port}"}
        ),
        "POST without an Origin": await ask(server.port, "/", own, "POST"),
        "POST with a foreign Origin": await ask(
            server.port, "/", own | {"Origin": "http://evil.example"}, "POST"
        ),
        "a websocket without an Origin": await ask(server.port, "/ws", shaking),
        "a websocket with a foreign Origin": await ask(
            server.port, "/ws", shaking | {"Origin": "http://evil.example"}
        ),
        "a websocket with the Origin null": await ask(
            server.port, "/ws", shaking | {"Origin": "null"}
        ),
        "a websocket with a foreign Host": await ask(
            server.port, "/ws", shaking | {"Host": "evil.example", "Origin": "http://evil.example"}
        ),
        "a websocket without the cookie": await ask(
            server.port, "/ws", HANDSHAKE | stranger | {"Origin": origin}
        ),
        "a websocket with the token": await ask(
            server.port, "/ws" + token[1:], HANDSHAKE | stranger | {"Origin": origin}
        ),
    }
    assert {attack: answer.status for attack, answer in attacks.items()} == dict.fromkeys(
        attacks, 403
    )
    assert (await ask(server.port, "/", own)).status == 200, "its own browser is still let in"


async def test_the_cookie_is_not_the_token_and_no_script_or_other_site_has_it(
    server: Server,
) -> None:
    host = f"127.0.0.1:{server.port}"
    path = server.link.partition(host)[2]
    answer = await ask(server.port, path, {"Host": host})
    cookie, *flags = answer.headers["set-cookie"].split("; ")
    assert set(flags) == {"HttpOnly", "Path=/", "SameSite=Strict"}
    assert path.partition("=")[2] not in cookie
    assert str(server.port) in cookie.partition("=")[0]


async def test_a_link_that_is_only_looked_at_stays_good(server: Server) -> None:
    host = f"127.0.0.1:{server.port}"
    path = server.link.partition(host)[2]
    assert (await ask(server.port, path, {"Host": host}, "HEAD")).status == 403
    assert (await ask(server.port, path, {"Host": "evil.example"})).status == 403
    assert (await ask(server.port, path, {"Host": host})).status == 200


async def test_every_answer_forbids_frames_foreign_content_and_keeping(server: Server) -> None:
    own = await opened(server)
    paths = ["/", "/page.css", "/static/js/textual.js", "/nothing"]
    answers = [await ask(server.port, path, own) for path in paths]
    answers.append(await ask(server.port, "/", {"Host": "evil.example"}))
    assert [answer.status for answer in answers] == [200, 200, 200, 404, 403]
    for answer in answers:
        policy = answer.headers["content-security-policy"].split("; ")
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert "evil.example" not in answer.headers["content-security-policy"] + answer.body


async def test_it_listens_on_loopback_alone(server: Server) -> None:
    # All of 127.0.0.0/8 is this machine, so a server on every address would answer there.
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.2", server.port)


async def test_tabs_are_limited_and_each_ends_with_its_process(nuclei: NucleiRun) -> None:
    async with serving(nuclei.path, max_tabs=1) as server, aiohttp.ClientSession() as browser:
        own = await opened(server)
        url = f"http://{own['Host']}/ws"
        headers = {**own, "Origin": f"http://{own['Host']}"}
        before = set(children(os.getpid()))
        async with asyncio.timeout(TAB_SECONDS):
            tab = await browser.ws_connect(url, headers=headers)
            first = await tab.receive()
            assert first.type is aiohttp.WSMsgType.BINARY, "what the application draws"
            (child,) = set(children(os.getpid())) - before
            assert (await ask(server.port, "/", own)).status == 503
            refused = await ask(server.port, "/ws", HANDSHAKE | headers)
            assert refused.status == 503
            await tab.close()
            # A reload: the process of the tab that was closed is waited for.
            assert (await ask(server.port, "/", own)).status == 200
            assert is_gone(child)


async def test_a_tab_chooses_its_size_and_nothing_else_of_its_process(nuclei: NucleiRun) -> None:
    async with serving(nuclei.path) as server, aiohttp.ClientSession() as browser:
        own = await opened(server)
        headers = {**own, "Origin": f"http://{own['Host']}"}
        url = f"http://{own['Host']}/ws?width=99999&height=$(touch%20hacked)&command=touch%20hacked"
        before = set(children(os.getpid()))
        async with asyncio.timeout(TAB_SECONDS), browser.ws_connect(url, headers=headers) as tab:
            await tab.receive()
            (child,) = set(children(os.getpid())) - before
            arguments = Path(f"/proc/{child}/cmdline").read_text().split("\0")[1:-1]
            assert arguments == ["-P", "-m", "tui.web.served", str(nuclei.path)]
            environment = Path(f"/proc/{child}/environ").read_text().split("\0")
            assert {"COLUMNS=1000", "ROWS=24"} <= set(environment)
            assert not any("hacked" in variable for variable in environment)
            # And what the page never sends ends the tab.
            await tab.send_str('["stdin", {"not": "text"}]')
            async for _ in tab:
                pass
            assert tab.close_code == aiohttp.WSCloseCode.UNSUPPORTED_DATA


def test_the_page_names_tests_that_are_there() -> None:
    here = Path(__file__).parent
    page = (here.parents[1] / "docs" / "howto" / "browser.md").read_text()
    tests = "".join(path.read_text() for path in here.glob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 5
    assert not {name for name in named if f"def {name}(" not in tests}


def test_without_the_extra_it_is_named(nuclei: NucleiRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'wl\[web\]'"):
        tui(["--web", str(nuclei.path)], standalone_mode=False)


def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with listen(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"^port {port} is in use: .*--port"):
            listen(port)
