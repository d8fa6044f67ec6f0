"""The example of each hook in docs/reference/hooks.md, used as the plugin that it is."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests import warm
from tests.core.cli_runs import LogWriter, floats, indexes, values
from tests.core.test_plugins import install
from wl_core.plugins import Plugins, projections, with_columns
from wl_core.projection import Projector
from wl_core.run import Run, open_run
from wl_core.table import Table
from wl_core.trajectories import Trajectories

PAGE = (Path(__file__).parents[2] / "docs/reference/hooks.md").read_text()
EXAMPLES = dict(
    re.findall(r"^<!-- example: (\w+) -->\n```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with three losses and two tags."""
    writer = LogWriter(tmp_path / "wl_runs" / "one")
    writer.frame(0, values("train_loss", ["a", "b", "c"], floats(0.2, 0.9, 0.4)))
    for sample, tag, add in (("a", "dark", True), ("b", "dark", True), ("b", "dark", False)):
        writer.frame(1, ("tagged", tag, add, "train_loader", [sample], None, "tester", ""))
    writer.close()
    return tmp_path / "wl_runs" / "one"


def example(hook: str) -> Plugins:
    """The example alone, as a plugin; its failures are the test's."""
    module = ModuleType(f"example_{hook}")
    exec(EXAMPLES[hook], module.__dict__)
    plugins = Plugins(builtins=())
    plugins.register(module, hook)
    (state,) = [one for one in plugins.report() if one.name == hook]
    assert (state.state, state.hooks) == ("ok", (hook,)), state
    return plugins


def installed(hook: str, folder: Path, code: str) -> str:
    """What a script prints that runs where the example is installed as a package."""
    module = f"wl_example_{hook}"
    install(folder, module, {module: EXAMPLES[hook]}, {"example": module})
    done = warm.run(
        ["-W", "error", "-c", code], cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wl_projections(run: Path) -> None:
    plugins = example("wl_projections")
    with open_run(run) as reader:
        whole = Projector(projections(plugins), reader.log)
        whole.catch_up()
        steps = Projector(projections(plugins), reader.log)
        while steps.catch_up(limit_frames=1):
            pass
    assert whole.view("tag_counts").counts == {"dark": 2}  # type: ignore[attr-defined]
    assert whole.digests() == steps.digests()


def test_wl_event_kinds(run: Path, tmp_path: Path) -> None:
    code = (
        "import wl_core as wl\n"
        f"with wl.open_run({str(run)!r}) as reader:\n"
        "    reader.append('weather_measured', place='roof', degrees=21.5)\n"
        "from wl_core.cli import main; main(['events', '--kind', 'weather_measured', '--json'])"
    )
    (event,) = json.loads(installed("wl_event_kinds", tmp_path, code))
    assert event["data"] == {"place": "roof", "degrees": 21.5}


TRAINING = """
import torch
import wl_core as wl

class Images(torch.utils.data.Dataset):
    def __len__(self):
        return 2
    def __getitem__(self, index):
        return torch.full((1, 4, 4), float(index)), index

loader = wl.watch_or_edit(Images(), flag="data", loader_name="train_loader", batch_size=2)
"""


def test_wl_signals(tmp_path: Path) -> None:
    code = f"""{TRAINING}
wl.serve()
wl.compute_signals()
wl.finish()
with wl.open_run(wl.find_run()) as reader:
    print(reader.samples().column("brightness").values.tolist())
"""
    assert installed("wl_signals", tmp_path, code) == "[0.0, 1.0]\n"


def test_wl_watch_flags(tmp_path: Path) -> None:
    code = f"""{TRAINING}
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
scheduler = wl.watch_or_edit(torch.optim.lr_scheduler.StepLR(optimizer, 1), flag="scheduler")
for _ in range(3):
    with wl.guard_training_context:
        next(loader)
        optimizer.step()
        scheduler.step()
wl.finish()
with wl.open_run(wl.find_run()) as reader:
    print(reader.curves()["learning_rate"].mean.round(6).tolist())
"""
    assert installed("wl_watch_flags", tmp_path, code) == "[0.05, 0.005, 0.0005]\n"


def test_wl_load_image() -> None:
    plugins = example("wl_load_image")
    ask: Callable[..., Any] = plugins.first
    image = ask("wl_load_image", run=None, origin="synthetic", sample_id=2)
    assert (image.dtype, image.shape, image[1, 1]) == (np.uint8, (32, 32), 3)
    assert ask("wl_load_image", run=None, origin="train_loader", sample_id=2) is None


def test_wl_classify_trajectories() -> None:
    plugins = example("wl_classify_trajectories")
    found = Trajectories(
        np.arange(3), np.zeros(3, int), np.array([0, 2, 4, 5]), np.arange(5),
        np.array([1.0, 0.05, 1.0, 0.5, 1.0]),
    )  # fmt: skip

    def ask(signal: str) -> Any:
        return plugins.first("wl_classify_trajectories", signal=signal, trajectories=found)

    shapes = ask("train_bce/sample")
    assert [shapes.label(row) for row in range(3)] == ["learned", "open", None]
    assert ask("train_dice/sample") is None


def samples(run: Path, plugins: Plugins) -> tuple[Run, Table]:
    with open_run(run) as reader:
        return reader, with_columns(plugins, reader, reader.samples())


def test_wl_columns(run: Path, tmp_path: Path) -> None:
    _, table = samples(run, example("wl_columns"))
    assert table.column("hard").values.tolist() == [False, True, False]
    code = (
        "from wl_core.cli import main;"
        "main(['samples', '--where', 'hard', '--columns', 'sample_id,hard', '--json'])"
    )
    printed = json.loads(installed("wl_columns", tmp_path, code))
    assert printed == [{"sample_id": "b", "hard": True}]


def test_wl_instance_columns(run: Path, tmp_path: Path) -> None:
    writer = LogWriter(run)
    writer.number = 9  # lower ones are in the log
    found = indexes(0, 0), indexes(1, 2), floats(0.05, 0.75)
    writer.frame(2, ("instance_values", "train_dice", "train_loader", True, ["a"], *found))
    writer.close()
    code = (
        "from wl_core.cli import main;"
        "main(['instances', 'a', '--columns', 'annotation_id,missed', '--json'])"
    )
    printed = json.loads(installed("wl_instance_columns", tmp_path, code))
    assert printed == [{"annotation_id": 1, "missed": True}, {"annotation_id": 2, "missed": False}]


def test_wl_cli_commands(run: Path, tmp_path: Path) -> None:
    code = "from wl_core.cli import main; main(['tags'])"
    assert installed("wl_cli_commands", tmp_path, code) == "a\tdark\n"


async def test_wl_tui_panes(run: Path) -> None:
    from tui.app import WlApp

    panes = example("wl_tui_panes").collect("wl_tui_panes")
    app = WlApp(run, panes)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert [type(pane).__name__ for pane in app.screen.query("Chosen")] == ["Chosen"]


async def test_wl_tui_commands(run: Path) -> None:
    from tui.app import WlApp

    (count,) = example("wl_tui_commands").mapping("wl_tui_commands").values()
    app = WlApp(run)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await count(app)
        await pilot.pause()
        assert [toast.message for toast in app._notifications] == ["0 of 3 seen"]


def test_wl_export_formats(run: Path, tmp_path: Path) -> None:
    code = (
        "from wl_core.cli import main;"
        "main(['export', 'table.md', '--columns', 'sample_id,train_loss',"
        " '--where', 'train_loss < 0.5'])"
    )
    assert installed("wl_export_formats", tmp_path, code) == "2 rows in table.md\n"
    assert (tmp_path / "table.md").read_text().splitlines() == [
        "| sample_id | train_loss |",
        "| --- | --- |",
        "| a | 0.20000000298023224 |",
        "| c | 0.4000000059604645 |",
    ]


def test_every_example_is_used() -> None:
    used = set(re.findall(r'(?:example|installed)\(\s*"(\w+)"', Path(__file__).read_text()))
    assert used == set(EXAMPLES)
