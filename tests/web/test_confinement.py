from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, subprocess, sys
from pathlib import Path
from tui.web.confinement import confine

run, outside = Path(sys.argv[1]), Path(sys.argv[2])
confine([run])

def refused(attempt, *arguments):
    try:
        attempt(*arguments)
    except PermissionError as error:
        assert str(error).startswith("read-only: "), error
    else:
        raise AssertionError(f"{attempt} {arguments} was done")

refused((outside / "export.csv").write_text, "rows")
refused(os.open, outside / "made", os.O_CREAT | os.O_RDWR)
refused(open, run / ".." / "outside" / "kept", "a")
refused(os.rename, outside / "kept", run / "taken")
refused(os.remove, outside / "kept")
refused(subprocess.run, ["true"])
refused(os.system, "true")
assert (outside / "kept").read_text() == "as it was"
(run / "view").write_text("kept beside the log")
(run / "view").rename(run / "another")
(run / "another").unlink()
open(os.devnull, "w").close()
"""


def test_a_confined_process_starts_nothing_and_writes_to_the_run_alone(tmp_path: Path) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    run.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("as it was")
    script = [sys.executable, "-W", "error", "-c", SCRIPT, str(run), str(outside)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in outside.iterdir()] == ["kept"]
