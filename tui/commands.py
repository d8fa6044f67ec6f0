"""What a person decides in the TUI, said to the run in the only way there is: by events.

What a decision is made of is `wl_core.decide`'s, for the command line as well. Functions here run
in the follower's thread and return what is said of it on the screen. The training hears of it at
its next guard.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from tui.sample_table import RowKey
from wl_core import ask
from wl_core.chosen import owners
from wl_core.decide import Chosen, Decider, Turned, by_origin
from wl_core.errors import RunNotFoundError
from wl_core.setting_values import read_assignments, shown
from wl_core.status import ALIVE

if TYPE_CHECKING:
    from wl_core.run import Run

WHO = "tui"


class Told(NamedTuple):
    """What was said to the run: in words, and the position of the event.

    ``is_heard``: a training lives that will answer at its next guard; None: there is nothing that
    it would do about it.
    """

    said: str
    position: int
    is_heard: bool | None = None


@runtime_checkable
class ManyRows(Protocol):
    """Rows that can be told by origin without a look at each of them."""

    def by_origin(self) -> list[Chosen]: ...


def named(rows: Sequence[RowKey]) -> str:
    """Which rows these are, in a few words; all are samples, or all are instances."""
    if len(rows) == 1:
        return str(rows[0])
    inner = len(rows) > 0 and rows[0].annotation_id is not None
    return f"{len(rows):,} {'instances' if inner else 'samples'}"


def _still_there(run: Run) -> Run:
    """Raise RunNotFoundError if the directory was removed.

    An open log would take an event all the same, into files that no one will ever read.
    """
    if not run.path.exists():
        raise RunNotFoundError(f"the run was deleted: nothing is left to change in {run.path}")
    return run


def request_pause(run: Run) -> Told:
    """Ask the training to wait at its next guard."""
    return _asked(run, "asked the training to pause", ask.pause(_still_there(run), WHO))


def request_resume(run: Run) -> Told:
    """Ask a waiting training to go on."""
    return _asked(run, "asked the training to go on", ask.resume(_still_there(run), WHO))


def request_steps(run: Run, count: int) -> Told:
    """Ask for so many training steps, and a pause then."""
    ask.require_training(_still_there(run), "step")
    steps = "1 step" if count == 1 else f"{count} steps"
    return _asked(run, f"asked for {steps}, and then a pause", ask.step(run, count, WHO))


def request_stop(run: Run, why: str) -> Told:
    """Ask the training to end, in order."""
    ask.require_training(_still_there(run), "stop")
    return _asked(run, "asked the training to end", ask.stop(run, WHO, why))


def request_evaluation(run: Run, origin: str, tag: str) -> Told:
    """Ask for an evaluation of that loader's samples, or of those with the tag, if there is one."""
    ask.require_training(_still_there(run), "evaluate")
    said = f"asked for an evaluation of {origin}" + (f" ({tag})" if tag else "")
    return _asked(run, said, ask.evaluate(run, origin, tag, WHO))


def cancel_evaluation(run: Run) -> Told:
    """Ask that the evaluation that runs and those that wait be given up."""
    ask.require_training(_still_there(run), "give up")
    return _asked(run, "asked to give the evaluation up", ask.cancel_evaluation(run, WHO))


def set_hyperparameter(run: Run, assignment: str, why: str) -> Told:
    """Ask for another value of a hyperparameter, by ``NAME=VALUE``, as ``wl set`` does.

    Raises:
        UsageError: the value cannot be read, or not take the place of the one that there is.
    """
    before = _still_there(run).hyperparameters()
    values = read_assignments([assignment], before)
    position = run.append("hyperparameters", values=values, who=WHO, why=why)
    said = ", ".join(
        f"{name} {shown(before[name])} -> {shown(new)}" for name, new in values.items()
    )
    return _asked(run, said, position)


def switch_discarded(run: Run, rows: Sequence[RowKey]) -> Told:
    """Discard these rows, or restore them when all of them are discarded."""
    _still_there(run).refresh()
    return set_discarded(run, rows, not _are_discarded(run, _chosen(rows)))


def set_discarded(run: Run, rows: Sequence[RowKey], discarded: bool, why: str = "") -> Told:
    """Discard these rows or restore them, for a reason that is kept."""
    position = _decider(run).discard(_chosen(rows), discarded, why)
    return _asked(run, f"{'discarded' if discarded else 'restored'} {named(rows)}", position)


def _are_discarded(run: Run, chosen: Sequence[Chosen]) -> bool:
    """Whether all of them are; ends at the first that is not."""
    samples, instances = run.view("samples"), run.view("instances")
    return all(
        samples.is_discarded(name, one) if not number else instances.is_discarded(name, one, number)
        for name, one, number in owners(chosen)
    )


def set_tag(run: Run, rows: Sequence[RowKey], tag: str, *, add: bool) -> Told:
    """Put a tag on, or take it off; NAME=VALUE is for a registered categorical one."""
    decider, chosen = _decider(run), _chosen(rows)
    name, is_value, value = tag.partition("=")
    if is_value and name in decider.registered():
        position = decider.categorise(chosen, name, (add and value) or None)
    else:
        position = decider.tag(chosen, tag, "add" if add else "remove")
    return Told(f"{'tagged' if add else 'untagged'} {named(rows)}: {tag}", position)


def undo(run: Run) -> Told:
    """Take back the last decision that counts, whoever made it."""
    return _turned(run, "took back", "undo", _decider(run).undo())


def redo(run: Run) -> Told:
    """Let the decision count again that was taken back last."""
    return _turned(run, "counts again", "redo", _decider(run).redo())


def _turned(run: Run, did: str, verb: str, turned: Turned) -> Told:
    position, found = turned
    if not found:
        return Told(f"there is nothing to {verb}", position)
    by = "" if found[0].who == WHO else f", by {found[0].who}"
    return _asked(run, f"{did}: {found[0].what}{by}", position)


def categories(run: Run) -> dict[str, tuple[str, ...]]:
    """The categorical tags that are registered, and their values."""
    return dict(_decider(run).registered())


def _asked(run: Run, said: str, position: int) -> Told:
    """What the training is to obey, if there is one."""
    return Told(said, position, run.status().state in ALIVE)


def _decider(run: Run) -> Decider:
    return Decider.of_run(_still_there(run), WHO)


def _chosen(rows: Sequence[RowKey]) -> list[Chosen]:
    if isinstance(rows, ManyRows):
        return rows.by_origin()
    return by_origin((row.origin, row.sample_id, row.annotation_id or 0) for row in rows)
