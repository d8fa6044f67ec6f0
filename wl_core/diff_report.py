"""What `wl diff` prints: one object, as JSON or as tables under headings.

What is compared, and how, is the business of `diff` and `diff_views`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wl_core.cli_output import for_a_person, print_rows, shown, to_json
from wl_core.diff import Fact, Parting
from wl_core.diff_views import (
    SampleDiffs,
    chosen_signal,
    curves_that_differ,
    decisions_that_differ,
    samples_that_differ,
    settings_that_differ,
)
from wl_core.run import Run

Report = dict[str, Any]


def report(one: Run, other: Run, parting: Parting, signal: str | None, limit: int) -> Report:
    """Everything that ``wl diff`` says, in plain types.

    Args:
        signal: what samples are compared by; None for the first loss.
        limit: so many samples are listed of each sort.

    Raises:
        UnknownNameError: no such signal.
    """
    name = chosen_signal(one, other, signal)
    samples = None if name is None else samples_that_differ(one, other, name, limit)
    return {
        "a": str(one.path),
        "b": str(other.path),
        "parting": _parting(parting),
        "hyperparameters": [
            {"name": name, "a": a, "b": b} for name, a, b in settings_that_differ(one, other)
        ],
        "decisions": [
            {
                "decision": diff.name,
                "a": diff.counts[0],
                "b": diff.counts[1],
                "only_a": [_owner(owner) for owner in diff.alone[0][:limit]],
                "only_b": [_owner(owner) for owner in diff.alone[1][:limit]],
            }
            for diff in decisions_that_differ(one, other)
        ],
        "curves": [
            {
                "signal": diff.signal,
                "last_a": diff.last[0],
                "last_b": diff.last[1],
                "first_step": diff.first_step,
                "greatest": diff.greatest,
                "greatest_step": diff.greatest_step,
            }
            for diff in curves_that_differ(one, other)
        ],
        "samples": None if samples is None else _samples(samples, limit),
    }


def _parting(parting: Parting) -> Report:
    return {
        "shared_events": parting.events,
        "shared_step": parting.shared_step,
        "same_step": parting.same_step,
        "first_a": _fact(parting.first[0]),
        "first_b": _fact(parting.first[1]),
        "fields": parting.fields(),
    }


def _fact(fact: Fact | None) -> Report | None:
    if fact is None:
        return None
    event = fact.event
    return {
        "position": event.position,
        "step": event.step,
        "phase": event.phase,
        "kind": event.kind,
        "data": event.data,
    }


def _samples(found: SampleDiffs, limit: int) -> Report:
    names = ("origin", "sample_id", "a", "b", "difference")
    return {
        "signal": found.signal,
        "differing": found.differing,
        "worst": [dict(zip(names, row, strict=True)) for row in found.worst],
        "count_only_a": len(found.alone[0]),
        "count_only_b": len(found.alone[1]),
        "only_a": [_owner(owner) for owner in found.alone[0][:limit]],
        "only_b": [_owner(owner) for owner in found.alone[1][:limit]],
    }


def _owner(owner: tuple[str, Any]) -> list[Any]:
    return list(owner)


# -- for people and pipes --------------------------------------------------------------------------


def print_report(found: Report, *, as_json: bool) -> None:
    if as_json:
        print(to_json(found))
        return
    print(f"a: {found['a']}\nb: {found['b']}")
    _print_parting(found["parting"])
    _print_section("hyperparameters", found["hyperparameters"], "the same")
    _print_section("decisions", [_short(row) for row in found["decisions"]], "the same")
    _print_section("curves", found["curves"], "the same")
    _print_samples(found["samples"])


def _print_parting(parting: Report) -> None:
    _print_heading("where they part")
    if parting["shared_events"]:
        print(
            f"the first {parting['shared_events']:,} events are the same to the last bit, up to"
            f" step {parting['shared_step']}"
        )
    first = [("a", parting["first_a"]), ("b", parting["first_b"])]
    if not any(event for _, event in first):
        print("both say the same throughout")
        return
    if parting["same_step"] is None:
        print("they part at the beginning")
    elif parting["same_step"] != parting["shared_step"]:
        print(f"both say the same up to step {parting['same_step']}")
    for run, event in first:
        print(f"then {run}: " + ("ends" if event is None else _line(event)))
    if parting["fields"]:
        print(f"which differ in: {', '.join(parting['fields'])}")


def _line(event: Report) -> str:
    return f"at {event['position']}, step {event['step']}, {event['kind']} {shown(event['data'])}"


def _print_samples(samples: Report | None) -> None:
    if samples is None:
        _print_heading("samples")
        print("no signal of samples to compare by")
        return
    heading = f"samples by {samples['signal']}"
    _print_section(heading, samples["worst"], "the same")
    if samples["differing"] > len(samples["worst"]):
        print(f"{samples['differing']:,} differ in all")
    for run in ("a", "b"):
        if count := samples[f"count_only_{run}"]:
            print(f"{count:,} in {run} alone: {_owners(samples[f'only_{run}'], count)}")


def _short(row: Report) -> Report:
    """A tag with the samples of one run alone as text."""
    return row | {name: _owners(row[name], len(row[name])) for name in ("only_a", "only_b")}


def _owners(owners: Sequence[Sequence[Any]], count: int) -> str:
    listed = " ".join(f"{origin}/{sample_id}" for origin, sample_id in owners)
    return listed + (" …" if count > len(owners) else "")


def _print_section(heading: str, rows: Sequence[Report], none: str) -> None:
    _print_heading(heading)
    if not rows:
        print(none)
        return
    print_rows(list(rows[0]), [list(row.values()) for row in rows], as_json=False)


def _print_heading(text: str) -> None:
    from rich.console import Console

    print()
    if for_a_person():
        Console(highlight=False).print(text, style="bold underline")
    else:
        print(f"# {text}")
