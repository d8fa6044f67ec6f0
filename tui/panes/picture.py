"""The chosen sample's image with ground truth, prediction and the chosen instance over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.follow import News
from tui.pane import Pane
from tui.sample_commands import instances_command
from tui.sample_table import RowKey, SampleKey
from tui.scene import Scene, load_scene
from tui.widgets.image import GROUND_TRUTH, PREDICTION, OverlayImage


class PicturePane(Pane):
    """Follows the chosen sample; loads only while in sight."""

    title: ClassVar[str] = "Image"
    dashboard: ClassVar[int | None] = 1
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "cycle_overlays", "Next overlays", show=False, id="image.cycle")
    ]

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._scene: Scene | None = None
        self._moment: int | None = None
        self._loading = False

    def compose_body(self) -> ComposeResult:
        yield OverlayImage(widget_id="picture")

    @property
    def image(self) -> OverlayImage:
        return self.query_one("#picture", OverlayImage)

    def run_changed(self, news: News) -> None:
        moved, self._moment = news.moment != self._moment, news.moment
        if moved:
            self._load_if_seen()
        else:  # there may be a newer prediction
            self.paced(self._load_again)

    def sample_chosen(self, sample: SampleKey | None) -> None:
        self.image.choose(None)
        self._load_if_seen()

    def came_into_sight(self) -> None:
        self._load_if_seen()

    def instance_chosen(self, annotation_id: int | None) -> None:
        """Point out one instance of the ground truth."""
        if annotation_id != self.image.chosen:
            self.image.choose(annotation_id)

    @on(OverlayImage.InstanceChosen)
    def _instance_stepped_to(self, event: OverlayImage.InstanceChosen) -> None:
        event.stop()
        self.post_message(self.InstanceChosen(event.annotation_id))

    def chosen_rows(self) -> Sequence[RowKey]:
        """The instance that is pointed out, else the sample."""
        return () if self.sample is None else (RowKey(*self.sample, self.image.chosen),)

    def command(self, run: str) -> str:
        """What the picture says in words: the instances of the sample."""
        return "" if self.sample is None else instances_command(run, self.sample, self._moment)

    def action_cycle_overlays(self) -> None:
        """Both, ground truth alone, prediction alone, none."""
        hidden = self.image.hidden & {GROUND_TRUTH, PREDICTION}
        order: list[set[str]] = [set(), {PREDICTION}, {GROUND_TRUTH}, {GROUND_TRUTH, PREDICTION}]
        following = order[(order.index(hidden) + 1) % len(order)]
        for name in hidden ^ following:
            self.image.action_switch_overlay(name)

    def _load_again(self) -> None:
        if self._loading:
            self.paced(self._load_again)
        else:
            self._load_if_seen()

    def _load_if_seen(self) -> None:
        if self.in_sight and self.sample is not None:
            self._loading = True
            self._load(self.sample)

    @work(exclusive=True, group="picture")
    async def _load(self, sample: SampleKey) -> None:
        before = self._scene
        scene = await self.ask(lambda run: load_scene(run, sample, before))
        self._loading = False
        if scene is not None:
            self._scene = scene
            self._draw()

    def _draw(self) -> None:
        scene = self._scene
        if scene is None:
            return
        scene.show_in(self.image)
        self.set_heading(str(scene.sample))
