"""The follower: one thread, one unhandled message, and it says so when it dies."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError

import pytest
from textual.message import Message

from tests.tui.nuclei_run import NucleiRun
from tui.follow import TAIL, Advanced, Follower, FollowerDied, Pace, RunGone
from wl_core.errors import UnknownNameError
from wl_core.run import Run, open_run

DEADLINE = 10.0


class Screen:
    """Takes messages as an application would, and lets a test wait for them."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._changed = threading.Condition()

    def post(self, message: Message) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE), self.messages

    @property
    def news(self) -> list[Advanced]:
        return [one for one in self.messages if isinstance(one, Advanced)]


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def follower(nuclei: NucleiRun, screen: Screen) -> Iterator[Follower]:
    follower = Follower(lambda: open_run(nuclei.path), screen.post, interval=0.01)
    follower.start()
    yield follower
    follower.close()
    assert not follower.is_alive()


def test_news_hold_views_status_and_the_tail(follower: Follower, screen: Screen) -> None:
    screen.wait(lambda: bool(screen.news))
    news = screen.news[0].news
    assert news.status.state == "training"
    assert news.step == 3
    assert news.behind == 0
    assert len(news.samples) == 16
    assert "train_bce/sample" in news.curves
    assert [event.position for event in news.events] == list(range(news.position))
    assert news.sample_rows.key(0) == ("train_loader", "tile_00")


def test_nothing_is_posted_while_the_last_news_is_not_shown(
    follower: Follower, screen: Screen, nuclei: NucleiRun
) -> None:
    screen.wait(lambda: bool(screen.news))
    nuclei.train(3)
    assert follower.ask(_position_after(nuclei)).result(DEADLINE) >= 37
    assert len(screen.news) == 1
    follower.shown()
    screen.wait(lambda: len(screen.news) == 2)
    first, second = (one.news for one in screen.news)
    assert second.step == 6
    assert second.events[0].position == first.position
    assert second.events[-1].position == second.position - 1


def _position_after(nuclei: NucleiRun) -> Callable[[Run], int]:
    def job(run: Run) -> int:
        run.refresh()
        return run.position

    return job


def test_no_news_come_while_nothing_is_written(follower: Follower, screen: Screen) -> None:
    screen.wait(lambda: bool(screen.news))
    follower.shown()
    looks: list[int] = []
    while len(looks) < 3:  # as many looks as answers, and then some
        looks.append(follower.ask(lambda run: run.position).result(DEADLINE))
    assert len(screen.news) == 1


def test_a_long_backlog_leaves_its_tail(nuclei: NucleiRun, screen: Screen) -> None:
    nuclei.frame(*[("paused", "", "")] * (TAIL + 500), phase="outside")
    follower = Follower(lambda: open_run(nuclei.path), screen.post, interval=0.01)
    follower.start()
    screen.wait(lambda: bool(screen.news))
    news = screen.news[0].news
    assert len(news.events) == TAIL
    assert news.events[-1].position == news.position - 1
    follower.close()


def test_an_answer_or_its_error_comes_back(follower: Follower) -> None:
    assert follower.ask(lambda run: run.name).result(DEADLINE) == "nuclei"
    question = follower.ask(lambda run: run.find_sample("nobody"))
    with pytest.raises(UnknownNameError):
        question.result(DEADLINE)
    assert follower.ask(lambda run: run.name).result(DEADLINE) == "nuclei"


def test_only_the_followers_thread_touches_the_run(follower: Follower) -> None:
    asked = follower.ask(lambda run: threading.current_thread()).result(DEADLINE)
    assert asked is follower


def test_a_dead_follower_says_why_and_answers_nobody(nuclei: NucleiRun, screen: Screen) -> None:
    def broken() -> Run:
        raise RuntimeError("no such luck")

    follower = Follower(broken, screen.post)
    follower.start()
    screen.wait(lambda: bool(screen.messages))
    (message,) = screen.messages
    assert isinstance(message, FollowerDied)
    assert "no such luck" in message.traceback
    with pytest.raises(CancelledError):
        follower.ask(lambda run: run.name).result(DEADLINE)
    follower.close()


def test_a_deleted_directory_is_told_once(
    follower: Follower, screen: Screen, nuclei: NucleiRun
) -> None:
    screen.wait(lambda: bool(screen.news))
    shutil.rmtree(nuclei.path)
    screen.wait(lambda: any(isinstance(one, RunGone) for one in screen.messages))
    assert follower.ask(lambda run: run.name).result(DEADLINE) == "nuclei"
    assert sum(isinstance(one, RunGone) for one in screen.messages) == 1


def test_an_idle_follower_uses_next_to_no_cpu(nuclei: NucleiRun, screen: Screen) -> None:
    follower = Follower(lambda: open_run(nuclei.path), screen.post)
    follower.start()
    screen.wait(lambda: bool(screen.news))
    follower.shown()
    used, began = time.process_time(), time.monotonic()
    looked = follower.looks
    while follower.looks < looked + 4:
        follower.ask(lambda run: None).cancel()
        threading.Event().wait(0.05)
    assert time.process_time() - used < 0.2 * (time.monotonic() - began)
    follower.close()


def test_pace_is_unknown_at_first_and_then_of_the_last_seconds() -> None:
    pace = Pace(window=10.0)
    pace.see(0.0, 100)
    assert pace.steps_per_second is None
    pace.see(5.0, 150)
    assert pace.steps_per_second == 10.0
    for second in range(6, 20):
        pace.see(float(second), 150)
    assert pace.steps_per_second == 0.0
