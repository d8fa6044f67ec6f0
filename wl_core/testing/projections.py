"""The conformance suite of projections: subclass it in your tests, and pytest does the rest.

    class TestWeather(ProjectionConformance):
        projection = WeatherView

It checks what a `wl_core.projection.Projection` promises: that the view depends on the events
alone (G9), and that a checkpoint brings it back as it was (G10). Override `frames` if your
projection folds kinds of events that your own plugin adds.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import tempfile
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wl_core.batches import EventBatch
from wl_core.checkpoints import Checkpoint, Checkpoints
from wl_core.codec import Frame
from wl_core.partitions import fold_frames, fold_partitions
from wl_core.projection import Projection
from wl_core.testing.streams import streams
from wl_core.view_files import ViewFiles

T = TypeVar("T")

# Every subclass runs the suite's own functions: that is what it is for.
_settings = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)


class ProjectionConformance:
    """Tests of one projection; a subclass says which."""

    projection: ClassVar[type[Projection]]

    def frames(self) -> st.SearchStrategy[list[Frame]]:
        """Streams of events to fold; the default draws every built-in kind."""
        return streams()

    def test_it_says_what_it_is(self) -> None:
        kind = self.projection
        assert re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", kind.name), "name: letters, digits, _ - ."
        assert isinstance(kind.version, int)
        assert kind.version >= 1
        assert isinstance(kind.kinds, frozenset)
        assert kind().digest() == kind().digest(), "two new ones must be equal"

    @_settings
    @given(st.data())
    def test_one_big_fold_equals_many_small_ones(self, data: st.DataObject) -> None:
        frames = data.draw(self.frames())
        small = self.projection()
        for frame in frames:
            small.fold(EventBatch([frame]))
        assert small.digest() == fold_frames(self.projection, frames).digest()

    @_settings
    @given(st.data())
    def test_a_restored_one_catches_up_to_the_same(self, data: st.DataObject) -> None:
        frames = data.draw(self.frames())
        cut = data.draw(st.integers(0, len(frames)))
        half = fold_frames(self.projection, frames[:cut])
        restored = self.projection()
        restored.restore(_saved_and_loaded(half))
        assert restored.digest() == half.digest()
        restored.fold(EventBatch(frames[cut:]))
        assert restored.digest() == fold_frames(self.projection, frames).digest()

    @_settings
    @given(st.data())
    def test_files_beside_its_checkpoints_make_no_difference(self, data: st.DataObject) -> None:
        frames = data.draw(self.frames())
        first, second = sorted(data.draw(st.tuples(*[st.integers(0, len(frames))] * 2)))
        with tempfile.TemporaryDirectory() as directory:
            half = self._beside(directory, frames[:first])
            restored = self._beside(directory, [])
            restored.restore(_saved_and_loaded(half))
            assert restored.digest() == half.digest()
            restored.merge(self._beside(directory, frames[first:second]))
            restored.fold(EventBatch(frames[second:]))
            assert restored.digest() == fold_frames(self.projection, frames).digest()

    def _beside(self, directory: str, frames: list[Frame]) -> Projection:
        """A projection that may keep files there and has folded the frames."""
        view = self.projection()
        view.attach(ViewFiles(Path(directory), view.name))
        for frame in frames:
            view.fold(EventBatch([frame]))
        return view

    @_settings
    @given(st.data())
    def test_what_is_restored_does_not_share_memory(self, data: st.DataObject) -> None:
        frames = data.draw(self.frames())
        original = fold_frames(self.projection, frames)
        restored, before = self.projection(), original.digest()
        restored.restore(original.snapshot())
        restored.fold(EventBatch(frames))
        assert original.digest() == before

    @_settings
    @given(st.data())
    def test_partitions_merge_in_any_grouping(self, data: st.DataObject) -> None:
        frames = data.draw(self.frames())
        cuts = data.draw(st.lists(st.integers(0, len(frames)), max_size=5))
        whole = fold_frames(self.projection, frames).digest()
        assert fold_partitions(self.projection, frames, cuts).digest() == whole
        parts = _parts(frames, cuts)
        folded = [fold_frames(self.projection, part) for part in parts]
        assert _merged_at_random(data, folded).digest() == whole

    @_settings
    @given(st.data())
    def test_a_merged_one_folds_on(self, data: st.DataObject) -> None:
        frames = data.draw(self.frames())
        first, second = sorted(data.draw(st.tuples(*[st.integers(0, len(frames))] * 2)))
        merged = fold_frames(self.projection, frames[:first])
        merged.merge(fold_frames(self.projection, frames[first:second]))
        merged.fold(EventBatch(frames[second:]))
        assert merged.digest() == fold_frames(self.projection, frames).digest()

    @_settings
    @given(st.data())
    def test_the_clock_and_the_writer_do_not_matter(self, data: st.DataObject) -> None:
        frames = data.draw(self.frames())
        elsewhere = [
            dataclasses.replace(frame, time=frame.time / 3, writer=b"another!", number=7)
            for frame in frames
        ]
        one, other = fold_frames(self.projection, frames), fold_frames(self.projection, elsewhere)
        assert one.digest() == other.digest()

    @_settings
    @given(st.data())
    def test_reading_changes_nothing(self, data: st.DataObject) -> None:
        view = fold_frames(self.projection, data.draw(self.frames()))
        before = view.digest()
        view.snapshot()
        assert view.digest() == before


def _saved_and_loaded(view: Projection) -> Any:
    """A snapshot on its way through a real checkpoint."""
    with tempfile.TemporaryDirectory() as directory:
        checkpoints = Checkpoints(Path(directory))
        checkpoints.save([Checkpoint(view.name, view.version, 1, b"log", view.snapshot())])
        loaded = checkpoints.load(view.name, view.version, b"log")
    assert loaded is not None, "a checkpoint that was just written must be whole"
    return loaded.state


def _parts(frames: list[Frame], cuts: list[int]) -> list[list[Frame]]:
    bounds = [0, *sorted(cuts), len(frames)]
    return [frames[low:high] for low, high in itertools.pairwise(bounds)]


def _merged_at_random(data: st.DataObject, parts: list[Projection]) -> Projection:
    """Neighbours merged in an order that hypothesis chooses, until one is left."""
    while len(parts) > 1:
        left = data.draw(st.integers(0, len(parts) - 2))
        parts[left].merge(parts.pop(left + 1))
    return parts[0]
