"""Settings: every value that can be set while a training runs, and who holds it.

Values are held by what was watched: the mapping of hyperparameters, optimizers, the batch size of
loaders, and the pace of the training (``is_training``). A change of them, whoever makes it, is one
``hyperparameters`` event. Which value may take the place of which is `setting_values`' business;
what of the past holds when a run is continued, `past_settings`'.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from wl_core.codec import Frame
from wl_core.errors import RefusedError, SettingRefusedWarning, nearest
from wl_core.pace import Pace
from wl_core.past_settings import Edit, PastSettings, values_of
from wl_core.recorder import Recorder
from wl_core.requests import Request
from wl_core.setting_values import fitting, same

IS_TRAINING = "is_training"
BATCH_SIZE = "batch_size"


class Holder(Protocol):
    """Something that was watched and holds settings.

    ``role`` and ``name`` are those of its ``object_described``; ``who`` stands in the event that
    says what it held when it was watched. Names of settings are full names, with dots.
    ``short`` are the names among them that a name without dots among the hyperparameters may stand
    for: its ``lr`` for ``optimizer.lr``.
    """

    role: str
    name: str
    who: str

    def values(self) -> dict[str, Any]:
        """What it holds now."""

    def short(self) -> dict[str, str]:
        """Short name -> full name."""

    def check(self, name: str, value: Any) -> None:
        """Raises RefusedError if it cannot take a value of the right type."""

    def set(self, name: str, value: Any) -> None:
        """Takes the value; raises RefusedError, and is as it was, if `check` would."""


class Settings:
    """The settings of one session.

    ``at_obey`` are the jobs that the session does whenever it looks for requests; one is put there
    once there is something to look at.
    """

    def __init__(self, recorder: Recorder, pace: Pace, at_obey: list[Callable[[], None]]) -> None:
        self._recorder = recorder
        self._pace = pace
        self._at_obey = at_obey
        self._holders: list[Holder] = []
        self._past = PastSettings()
        self._held: set[str] = set()  # names of which an edit of before holds
        self._pausing = False  # as the mapping's is_training says

    # -- what is held ------------------------------------------------------------

    def values(self) -> dict[str, Any]:
        """Every setting, as it is now.

        Where the hyperparameters and an optimizer or loader have one of the same name, the latter
        is asked: it is what the training uses.
        """
        found: dict[str, Any] = {}
        for holder in self._holders:
            if holder.role == "hyperparameters":
                found.update(holder.values())
        for holder in self._holders:
            if holder.role != "hyperparameters":
                found.update(holder.values())
        if IS_TRAINING in found:
            found[IS_TRAINING] = not self._pace.pausing
        return found

    def _reached(self, name: str) -> list[tuple[Holder, str]]:
        """Who takes an edit of that name, each with the name that it has there."""
        names = [name, *self._synonyms(name)]
        return [
            (holder, one) for holder in self._holders for one in names if one in holder.values()
        ]

    def _synonyms(self, name: str) -> list[str]:
        """``optimizer.lr`` for ``lr`` and back, where there is one optimizer only.

        ``batch_size`` stands for those of all loaders of the training.
        """
        full: dict[str, list[str]] = {}
        for holder in self._holders:
            for short, one in holder.short().items():
                full.setdefault(short, []).append(one)
        found = full.get(name, [])
        if len(found) == 1 or name == BATCH_SIZE:
            return found
        return [short for short, ones in full.items() if ones == [name]]

    # -- watching ------------------------------------------------------------------

    def remember(self, frames: Iterable[Frame]) -> None:
        """Takes in the decisions of a run that is continued."""
        self._past = PastSettings(frames)

    def include(self, holder: Holder, detail: Mapping[str, Any]) -> None:
        """Takes in what is watched from now on, and records what it is and holds.

        Nothing of it is changed, unless this run is continued and an edit of before still holds.
        """
        key = (holder.role, holder.name)
        self._holders = [one for one in self._holders if (one.role, one.name) != key]
        elsewhere = self.values()
        said = {name: one for name, one in holder.values().items() if name not in elsewhere}
        held, fresh = self._compared(said)
        if holder.role == "hyperparameters":
            held |= self._past.added(f"{holder.name}." if holder.name else "")
        gone = self._past.names.get(key, set()) - {*said, *elsewhere}
        with self._recorder.facts():
            self._recorder.add("object_described", holder.role, holder.name, dict(detail))
            if fresh or gone:
                values = {**dict.fromkeys(sorted(gone)), **fresh}
                self._recorder.add("hyperparameters", values, holder.who, "")
        self._holders.append(holder)
        self._past.forget({*said, *gone, *held})
        for name in self._held & elsewhere.keys() & holder.values().keys():
            held[name] = Edit(elsewhere[name], -1)
        # In the order in which they were made: one of all groups undoes those of single ones.
        for name, edit in sorted(held.items(), key=lambda pair: pair[1].position):
            self._hold(holder, name, edit)
        if IS_TRAINING in said:
            self._begin(said[IS_TRAINING])

    def _compared(self, said: Mapping[str, Any]) -> tuple[dict[str, Edit], dict[str, Any]]:
        """The edits of before that hold, and what the script says that it did not say before."""
        past = self._past
        held: dict[str, Edit] = {}
        fresh: dict[str, Any] = {}
        for name, value in said.items():
            edit = past.edits.get(name)
            if name not in past.said or not same(past.said[name], value):
                fresh[name] = value
            elif edit is not None and name == IS_TRAINING:
                fresh[name] = value  # a pause has ended when a run is continued
            elif edit is not None and edit.value is not None:
                held[name] = edit
        return held, fresh

    def _hold(self, holder: Holder, name: str, edit: Edit) -> None:
        """Does an edit of before again."""
        now = holder.values()
        try:
            value = edit.value
            if holder.role != "hyperparameters":  # a script may set its own to whatever it likes
                value = fitting(name, now[name], value)
            holder.set(name, value)
        except RefusedError as error:
            if edit.position >= 0:
                self._recorder.add("obeyed", edit.position, str(error))
            warnings.warn(
                f"an edit of before this run was continued does not hold: {error}",
                SettingRefusedWarning,
                stacklevel=2,
            )
        else:
            self._held.add(name)

    def hold_since(self, position: int, frames: Iterable[Frame]) -> None:
        """Does the edits of optimizers again that ``frames`` have after ``position``.

        For an optimizer that was given a state of that moment, which knows nothing of them.
        """
        late = [
            (edit.position, name, edit)
            for name, edit in PastSettings(frames).edits.items()
            if edit.position > position and edit.value is not None
        ]
        for _, name, edit in sorted(late, key=lambda one: one[0]):
            for holder, own in self._reached(name):
                if holder.role == "optimizer":
                    self._hold(holder, own, edit)

    # -- changing --------------------------------------------------------------------

    def obey(self, request: Request) -> None:
        """Does what another process asks.

        Raises:
            RefusedError: a name is not known or a value does not fit; nothing was set.
        """
        asked = values_of(request)
        who = request.field("who")
        done = self._apply(asked, who, request.field("why"))
        followed = {name: value for name, value in done.items() if name not in asked}
        if followed:
            self._recorder.add("hyperparameters", followed, who, f"with {', '.join(asked)}")

    def change(self, values: Mapping[str, Any], who: str, why: str = "") -> None:
        """Sets values and records that as one event.

        Raises:
            RefusedError: a name is not known or a value does not fit; nothing was set.
        """
        self._recorder.add("hyperparameters", self._apply(values, who, why), who, why)

    def edited(self, values: Mapping[str, Any]) -> None:
        """The script has changed its own mapping; what is bound to it follows, where it can."""
        before = self.values()
        for name, value in values.items():
            for holder, own in self._reached(name):
                old = holder.values()[own]
                if (holder.role == "hyperparameters" and own == name) or same(old, value):
                    continue
                try:
                    new = fitting(own, old, value)
                    holder.set(own, new)
                except RefusedError as error:
                    warnings.warn(
                        f"{own} does not follow {name}: {error}",
                        SettingRefusedWarning,
                        stacklevel=5,
                    )
        if isinstance(training := values.get(IS_TRAINING), bool):
            self._set_pace(training, "script", "")
        self._recorder.add("hyperparameters", self._done(values, before), "script", "")

    def _apply(self, values: Mapping[str, Any], who: str, why: str) -> dict[str, Any]:
        """Sets all of these or none; gives what has changed, what is bound to them included."""
        before = self.values()
        fitted = {name: self._checked(name, value, before) for name, value in values.items()}
        for name, value in fitted.items():
            for holder, own in self._reached(name):
                holder.set(own, value)
        if IS_TRAINING in fitted:
            self._set_pace(fitted[IS_TRAINING], who, why)
        return self._done(fitted, before)

    def _checked(self, name: str, value: Any, now: Mapping[str, Any]) -> Any:
        if name not in now:
            raise RefusedError(f"there is no hyperparameter {name!r}.{nearest(name, now)}")
        fitted = fitting(name, now[name], value)
        for holder, own in self._reached(name):
            holder.check(own, fitted)
        return fitted

    def _done(self, asked: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
        """What was set, and what has changed with it."""
        changed = {
            name: value
            for name, value in self.values().items()
            if name not in before or not same(before[name], value)
        }
        return {**changed, **asked}

    # -- the pace ----------------------------------------------------------------------

    def _begin(self, training: Any) -> None:
        """A run whose hyperparameters say ``is_training: false`` begins paused."""
        if training is False:
            self._pace.pause("script", f"{IS_TRAINING} is false")
        self._pausing = self._pace.pausing
        if self._follow_pace not in self._at_obey:
            self._at_obey.append(self._follow_pace)

    def _set_pace(self, training: bool, who: str, why: str) -> None:
        if training:
            self._pace.resume()
        else:
            self._pace.pause(who, why)
        self._pausing = self._pace.pausing

    def _follow_pace(self) -> None:
        """``is_training`` says what is so, however the training was paused or resumed."""
        if self._pace.pausing is self._pausing:
            return
        self._pausing = self._pace.pausing
        for holder in self._holders:
            if IS_TRAINING in holder.values():
                holder.set(IS_TRAINING, not self._pausing)
        why = "paused" if self._pausing else "resumed"
        self._recorder.add("hyperparameters", {IS_TRAINING: not self._pausing}, "pace", why)
