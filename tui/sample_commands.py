"""The commands that print, in a plain terminal, what the sample screen shows."""

from __future__ import annotations

import shlex

from tui.sample_table import WHO, SampleKey
from wl_core.filter_text import all_of, literal_text


def instances_command(run: str, sample: SampleKey, moment: int | None = None) -> str:
    """Its instances with their values."""
    return _joined("wl", "instances", str(sample.sample_id), run, *_origin(sample), *_at(moment))


def row_command(run: str, sample: SampleKey, moment: int | None = None) -> str:
    """All that is known of it: metadata, last values, tags; empty when no filter can name it."""
    where = _where(sample)
    return where and _joined("wl", "samples", run, "--where", where, *_at(moment))


def trajectory_command(run: str, sample: SampleKey, signal: str, moment: int | None = None) -> str:
    """All values of one signal; empty when no filter can name the sample."""
    where = _where(sample)
    what = ("--history", "--samples", "--signal", signal, "--where", where)
    return where and _joined(
        "wl", "export", "-", "--format", "csv", *what, "--run", run, *_at(moment)
    )


def decisions_command(run: str, sample: SampleKey, moment: int | None = None) -> str:
    """What was decided on it and its instances."""
    name = str(sample.sample_id)
    return _joined("wl", "history-of", name, "--run", run, *_origin(sample), *_at(moment))


def _joined(*words: str) -> str:
    return shlex.join(words)


def _origin(sample: SampleKey) -> tuple[str, str]:
    return "--origin", sample.origin


def _at(moment: int | None) -> tuple[str, ...]:
    return () if moment is None else ("--at-step", str(moment))


def _where(sample: SampleKey) -> str:
    literals = [literal_text(one) for one in sample]
    pairs = zip(WHO, literals, strict=True)
    return all_of(one and f"{name} == {one}" for name, one in pairs) or ""
