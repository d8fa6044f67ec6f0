"""`wl curves`: how signals went over the steps, as numbers, as a picture, as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wl_core.cli_options import at_step_option, json_option, opened, root_option, run_option

if TYPE_CHECKING:
    from wl_core.run import Run
    from wl_core.series import Series


@click.command()
@click.argument("signals", metavar="[SIGNAL]...", nargs=-1)
@run_option
@root_option
@click.option("--sample", "samples", multiple=True, help="The line of this sample as well.")
@click.option("--origin", help="The loader of the samples, where several have one of that id.")
@click.option(
    "--smooth",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    metavar="WEIGHT",
    help="Exponential moving average as in TensorBoard: 0 (none), 0.6, 0.9, 0.99.",
)
@click.option("--from", "first", type=int, metavar="N", help="Only from step N on.")
@click.option("--to", "last", type=int, metavar="N", help="Only up to step N.")
@click.option(
    "--out",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the points there: .svg is a picture, .csv and the others are tables.",
)
@click.option("--log-y", is_flag=True, help="In a picture: a logarithmic value axis.")
@click.option("--band", is_flag=True, help="In a picture: shade from the lowest to the highest.")
@click.option("--apart", is_flag=True, help="In a picture: a plot for each signal.")
@at_step_option
@json_option
def curves(
    signals: tuple[str, ...],
    run: str | None,
    root: Path,
    samples: tuple[str, ...],
    origin: str | None,
    smooth: float,
    first: int | None,
    last: int | None,
    file: Path | None,
    log_y: bool,
    band: bool,
    apart: bool,
    at_step: int | None,
    as_json: bool,
) -> None:
    """Print how signals went over the steps: all of them, or these.

    A line says how many steps have a value, the first, last, lowest and highest one, and at which
    step. A value is the mean over the samples of its step. With --json the points are there too.

    With --out the points are written to a file, which is replaced once the new one is whole.

    \b
    Examples:
      wl curves
      wl curves train_bce/sample --smooth 0.9 --out loss.svg --log-y --band
      wl curves train_bce/sample --sample tile_03 --out one.csv
    """
    with opened(run, root, at_step) as reader:
        reader.refresh()
        lines = chosen_series(reader, signals, samples, origin)
        marks = [(float(one.step), f"evaluated on {one.name}") for one in reader.evaluations()]
        name = reader.name
    if first is not None or last is not None:
        ends = (-1.0 if first is None else first, float("inf") if last is None else last)
        lines = [line.between(*ends) for line in lines]
    lines = [line.smoothed(smooth) for line in lines]
    if file is None:
        _print(lines, as_json=as_json)
        return
    from wl_core.curve_files import write_series

    points = write_series(
        file, lines, title=name, log_y=log_y, bands=band, apart=apart, marks=marks
    )
    print(f"{points:,} points of {len(lines)} lines in {file}")


def chosen_series(
    run: Run, signals: Sequence[str], samples: Sequence[str], origin: str | None
) -> list[Series]:
    """The curves of these signals (all without any), and behind each the lines of the samples.

    Raises:
        UnknownNameError: no such curve, or no such sample.
        UsageError: several origins have a sample of that id.
    """
    import numpy as np

    from wl_core.series import Series

    view = run.view("curves")
    keys = [run.find_sample(sample, origin) for sample in samples]
    found = []
    for name in signals or view.names():
        curve = view.curve(name)
        found.append(Series.of_curve(curve))
        for key in keys:
            steps, values = run.signal_history(curve.name, *key)
            if len(steps):
                label = f"{curve.name} of {key[1]}"
                found.append(Series(label, np.asarray(steps, float), values, group=curve.name))
    return found


def _print(lines: Sequence[Series], *, as_json: bool) -> None:
    from wl_core.cli_output import print_json_array, print_rows

    rows = [_row(line) for line in lines]
    if as_json:
        points = [_points(line) for line in lines]
        print_json_array(row | more for row, more in zip(rows, points, strict=True))
    else:
        print_rows(list(_NAMES), [list(row.values()) for row in rows], as_json=False)


_NAMES = ("curve", "steps", "first", "last", "lowest", "lowest_at", "highest", "highest_at")


def _row(line: Series) -> dict[str, Any]:
    """What one line of output says; nothing of values that are not finite but their number."""
    import numpy as np

    finite = np.flatnonzero(np.isfinite(line.mean))
    if not len(finite):
        return dict(zip(_NAMES, (line.name, len(line.steps), *[None] * 6), strict=True))
    values, steps = line.mean[finite], line.steps[finite].astype(np.int64)
    low, high = int(values.argmin()), int(values.argmax())
    said = (
        line.name, len(line.steps), float(values[0]), float(values[-1]),
        float(values[low]), int(steps[low]), float(values[high]), int(steps[high]),
    )  # fmt: skip
    return dict(zip(_NAMES, said, strict=True))


def _points(line: Series) -> dict[str, Any]:
    found: dict[str, Any] = {
        "at": line.steps.astype(int).tolist(),
        "value": (line.mean if line.raw is None else line.raw).tolist(),
        "low": None if line.low is None else line.low.tolist(),
        "high": None if line.high is None else line.high.tolist(),
    }
    return found if line.raw is None else found | {"smoothed": line.mean.tolist()}


COMMANDS = (curves,)
