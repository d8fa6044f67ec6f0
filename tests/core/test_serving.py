"""`serve` and `keep_serving`."""

from __future__ import annotations

import threading
import time

import pytest

import wl_core as wl
from tests.core.watched_runs import Finished, events
from wl_core.session import session


def test_serve_declares_the_signals_and_says_where_to_look(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    wl.signal(name="still", log=True)(lambda ctx: 1)
    wl.signal(name="moving", subscribe_to="still")(lambda ctx: 1)
    wl.serve()
    assert f"wl tui {finished.path}" in capsys.readouterr().err
    with wl.open_run(finished.path) as run:
        declared = {event["signal"]: event for event in events(run, "signal_declared")}
    assert declared["still"]["log"]
    assert declared["moving"]["detail"] == {"computed": "dynamic", "from": "still"}


def test_keep_serving_ends_after_its_timeout_even_when_a_pause_is_asked_for(
    finished: Finished,
) -> None:
    finished.live().append("pause_requested", who="a test")
    start = time.monotonic()
    wl.keep_serving(timeout=0.1)
    assert 0.1 <= time.monotonic() - start < 10


def test_keep_serving_obeys_what_others_ask(finished: Finished) -> None:
    other = finished.live()

    def discard() -> None:
        other.append(
            "discarded", discarded=True, origin="t", ids=["a"], annotation_ids=None, who="a test"
        )

    helper = threading.Thread(target=discard)
    helper.start()
    helper.join()
    wl.keep_serving(timeout=0.1)
    assert ("t", "a", 0) in session().discards.keys


def test_ctrl_c_ends_keep_serving(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wl_core.serving.time.sleep", interrupt)
    wl.keep_serving()
    assert "stopped" in capsys.readouterr().err
