"""The page on the log format says what the code does, and its reader reads."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from tests.golden.make import make
from wl_core import arrays, codec, tail
from wl_core.events import BUILTIN_KINDS
from wl_core.run import open_run

PAGE = Path(__file__).parents[2] / "docs" / "log-format.md"
TEXT = PAGE.read_text(encoding="utf-8")


def events_table() -> str:
    """What stands between the two comments; `python -m tests.docs.test_log_format` writes it."""
    lines = ["| kind | version | fields | meaning |", "| --- | --- | --- | --- |"]
    for kind in BUILTIN_KINDS:
        fields = ", ".join(f"{field.name} *{field.type}*" for field in kind.fields) or "none"
        lines.append(f"| `{kind.name}` | {kind.version} | {fields} | {kind.doc} |")
    return "\n".join(lines)


MARKED = re.compile(r"(<!-- events: .*? -->\n)(.*?)(\n<!-- end of events -->)", re.DOTALL)


def test_the_table_of_events_is_the_catalogue() -> None:
    found = MARKED.search(TEXT)
    assert found is not None
    assert found[2] == events_table(), "write it by: python -m tests.docs.test_log_format"


def test_the_formats_and_limits_are_those_of_the_code() -> None:
    assert f"**log format {codec.FORMAT}**" in TEXT
    assert f"at most {codec.MAX_FRAME_BYTES >> 20} MiB" in TEXT
    assert f'b"{tail._MAGIC.decode()}"' in TEXT
    assert f"more than {arrays._MAX_ARRAY_BYTES >> 30} GiB" in TEXT
    for number, phase in enumerate(codec.PHASES):
        word = {"train": "training", "test": "testing"}.get(phase, phase)
        assert f"{number} {word}" in TEXT
    assert set(codec.DTYPES) == set(re.findall(r"\b[fiub]\d\b|V16", TEXT)) - {"u1 0"}


def test_the_reader_on_the_page_reads_what_ours_reads(tmp_path: Path) -> None:
    [code] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    reader: dict[str, Any] = {}
    exec(code, reader)
    make(tmp_path / "run")
    with open_run(tmp_path / "run") as run:
        ours = []
        for frame in run.log.frames():
            assert isinstance(frame, codec.Frame)
            for event in frame.events:
                if event[0] == "values":
                    pairs = zip(frame.ids(event[5]), frame.vector(event[6]), strict=True)
                    ours += [(frame.step, event[2], event[3], i, float(v)) for i, v in pairs]
    theirs = list(reader["samples_values"](str(tmp_path / "run/rank-0000/log")))
    assert len(theirs) > 100
    assert [one[:4] for one in theirs] == [one[:4] for one in ours]
    assert all(
        a[4] == b[4] or (math.isnan(a[4]) and math.isnan(b[4]))
        for a, b in zip(theirs, ours, strict=True)
    )


if __name__ == "__main__":
    text = TEXT.replace("\nEVENTS\n", "\n\n") if "\nEVENTS\n" in TEXT else TEXT
    table = events_table()
    PAGE.write_text(MARKED.sub(lambda m: m[1] + table + m[3], text), encoding="utf-8")
