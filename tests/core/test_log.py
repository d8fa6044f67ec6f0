"""EventLog: dense positions, whole frames, damage that is named, writers and readers at once."""

from __future__ import annotations

import itertools
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.frames import (
    SECONDS,
    WRITER,
    entry,
    numbers,
    python,
    raw,
    run_python,
    until,
    whole,
    write_lock_held,
)
from wl_core.codec import DamagedFrame, Frame
from wl_core.environment import structural_damage
from wl_core.errors import RunNotFoundError, StorageError, UnsupportedFormatError
from wl_core.events import LIFE
from wl_core.log import EventLog, Finding
from wl_core.tail import Entry

OTHER = b"writer 2"
TINY = 64 << 10


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    found = EventLog(tmp_path / "log", create=True)
    yield found
    found.close()


def key(position: int) -> bytes:
    return position.to_bytes(8, "big")


# -- G4: positions, and each frame once ---------------------------------------------


def test_positions_are_dense_and_given_at_commit(log: EventLog) -> None:
    assert log.next_position == 0
    assert log.append([entry(1, count=3), entry(2)]) == 4
    assert log.append([entry(3, count=2)]) == 6
    assert [(one.position, one.count) for one in whole(log)] == [(0, 3), (3, 1), (4, 2)]
    assert log.next_position == 6


def test_a_frame_that_was_committed_before_is_passed_over(log: EventLog) -> None:
    log.append([entry(1), entry(2)])
    assert log.append([entry(1), entry(2), entry(3), entry(1, writer=OTHER)]) == 4
    assert log.append([entry(3), entry(1, writer=OTHER)]) == 4
    assert numbers(log) == [1, 2, 3]
    assert numbers(log, OTHER) == [1]
    assert (log.committed(WRITER), log.committed(OTHER), log.committed(b"nobody..")) == (3, 1, 0)


def test_the_models_age_is_the_highest_that_was_told(log: EventLog) -> None:
    assert log.model_age == 0
    log.append([Entry(WRITER, 1, 1, entry(1).frame, 7), entry(2), entry(1, writer=OTHER)])
    assert log.model_age == 7


def test_a_transaction_that_fails_leaves_nothing(log: EventLog) -> None:
    log.append([entry(1)])
    with pytest.raises(StorageError):
        log.append([entry(2), Entry(b"", 1, 1, b"x")])  # LMDB has no empty keys
    assert numbers(log) == [1]
    assert (log.next_position, log.committed(WRITER)) == (1, 1)


def test_reading_begins_with_the_frame_that_holds_the_position(log: EventLog) -> None:
    log.append([entry(1, count=3), entry(2, count=3), entry(3, count=3)])
    starts = {start: [one.position for one in log.frames(start)] for start in range(10)}
    assert starts[0] == starts[1] == starts[2] == [0, 3, 6]
    assert starts[3] == starts[5] == [3, 6]
    assert starts[8] == [6]
    assert starts[9] == []
    assert [one.position for one in log.frames(0, 3)] == [0]
    assert [one.position for one in log.frames(0, 4)] == [0, 3]


def test_long_logs_are_read_in_short_transactions(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wl_core.log._READ_FRAMES", 3)
    log.append([entry(number) for number in range(1, 11)])
    reader = log.frames()
    assert next(reader).position == 0
    log.append([entry(11)])
    assert [one.position for one in reader] == list(range(1, 11))


def test_the_last_frame_and_the_landmarks_are_found_without_reading_the_rest(log: EventLog) -> None:
    assert log.last_frame() is None
    assert list(log.landmarks()) == []
    marks = [
        Entry(WRITER, n, 1, entry(n).frame, landmark=LIFE if n in (1, 4) else 0)
        for n in range(1, 6)
    ]
    log.append(marks)
    assert [one.number for one in log.landmarks()] == [4, 1]
    last = log.last_frame()
    assert last is not None
    assert last.number == 5


def test_follow_gives_what_comes(log: EventLog) -> None:
    log.append([entry(1)])
    following = log.follow(poll=0.001)
    assert next(following).position == 0
    threading.Thread(target=log.append, args=([entry(2)],)).start()
    assert next(following).position == 1


def test_what_others_committed_is_told_once_and_never_ones_own(
    log: EventLog, tmp_path: Path
) -> None:
    log.append([entry(1)])
    assert log.foreign_frames(WRITER) == []
    other = """
        import sys
        from pathlib import Path
        from tests.core.frames import entry
        from wl_core.log import EventLog
        log = EventLog(Path(sys.argv[1]))
        log.append([entry(int(n), writer=b"writer 2") for n in sys.argv[2:]])
    """
    run_python(other, log.path, 1, 2)
    log.append([entry(2)])
    assert [one.number for one in log.foreign_frames(WRITER)] == [1, 2]
    run_python(other, log.path, 3)
    assert [one.number for one in log.foreign_frames(WRITER)] == [3]
    assert log.foreign_frames(WRITER) == []


def test_what_is_announced_before_it_can_be_read_is_not_missed(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LMDB writes its meta page, which tells the last transaction, before readers see it."""
    log.append([entry(1)])
    following = log.follow(1, poll=0.001)
    now = log.environment.last_transaction()
    announced = []

    def ahead() -> int:
        announced.append(now + 1)
        if len(announced) == 3:
            monkeypatch.undo()
            script = """
                import sys
                from pathlib import Path
                from tests.core.frames import entry
                from wl_core.log import EventLog
                EventLog(Path(sys.argv[1])).append([entry(1, writer=b"writer 2")])
            """
            run_python(script, log.path)
            assert log.environment.last_transaction() == now + 1
        return now + 1

    monkeypatch.setattr(log.environment, "last_transaction", ahead)
    assert log.foreign_frames(WRITER) == []
    assert log.foreign_frames(WRITER) == []
    assert next(following).position == 1
    assert [one.writer for one in log.foreign_frames(WRITER)] == [OTHER]


def test_asking_for_what_others_did_never_waits_for_a_commit(log: EventLog) -> None:
    log.append([entry(1)])
    with write_lock_held(log.path):
        waiting = threading.Thread(target=log.append, args=([entry(2)],))
        waiting.start()
        until(lambda: not _free(log))
        assert log.foreign_frames(WRITER) == []
        assert waiting.is_alive()
    waiting.join(SECONDS)
    assert numbers(log) == [1, 2]


def _free(log: EventLog) -> bool:
    free = log.environment.try_turn()
    if free:
        log.environment.end_turn()
    return free


# -- G5: damage ------------------------------------------------------------------------


def filled(path: Path, frames: int = 12, size: int = 4) -> None:
    log = EventLog(path, create=True)
    log.append([entry(number, count=2, size=size) for number in range(1, frames + 1)])
    log.close()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "log"
    filled(path)
    return path


def findings(log: EventLog) -> list[Finding]:
    return [one for one in log.verify() if isinstance(one, Finding)]


def put(path: Path, position: int, data: bytes | None) -> None:
    """Replaces a frame behind wl's back; None removes it."""
    with raw(path) as environment:
        frames = environment.open_db(b"frames")
        with environment.begin(write=True) as txn:
            if data is None:
                assert txn.delete(key(position), db=frames)
            else:
                txn.put(key(position), data, db=frames)


@given(frame_at=st.integers(0, 11), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=60)
def test_any_flipped_bit_of_any_frame_is_found_and_named(
    sound: Path,
    tmp_path_factory: pytest.TempPathFactory,
    frame_at: int,
    where: float,
    bit: int,
) -> None:
    path = tmp_path_factory.mktemp("bit") / "log"
    shutil.copytree(sound, path)
    data = bytearray(entry(frame_at + 1, count=2).frame)
    data[int(where * len(data))] ^= 1 << bit
    put(path, 2 * frame_at, bytes(data))
    log = EventLog(path)
    assert findings(log) == [Finding(2 * frame_at, "its checksum does not match its bytes")]
    others = [one.position for one in log.frames() if isinstance(one, Frame)]
    assert others == [at for at in range(0, 24, 2) if at != 2 * frame_at]
    last = log.last_frame()
    assert last is not None
    assert last.position == max(others)
    log.close()
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    ("position", "data", "finding"),
    [
        (0, None, Finding(0, "the events 0 to 1 are missing")),
        (6, None, Finding(6, "the events 6 to 7 are missing")),
        (22, None, Finding(22, "the events 22 to 23 are missing")),
        (6, entry(4, count=1).frame, Finding(7, "the events 7 to 7 are missing")),
        (
            6,
            entry(4, count=3).frame,
            Finding(8, "it begins at 8, within the frame that ends at 9"),
        ),
        (7, entry(4, count=1).frame, Finding(7, "it begins at 7, within the frame that ends at 8")),
        (6, b"", Finding(6, "0 bytes are too few for a checksum")),
    ],
    ids=["first", "middle", "last", "short", "long", "extra", "empty"],
)
def test_a_frame_that_is_gone_or_not_the_one_that_was_there_is_named(
    sound: Path, tmp_path: Path, position: int, data: bytes | None, finding: Finding
) -> None:
    shutil.copytree(sound, tmp_path / "log")
    put(tmp_path / "log", position, data)
    log = EventLog(tmp_path / "log")
    assert finding in findings(log)
    log.close()


def test_damage_is_told_once_to_a_follower(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "log")
    put(tmp_path / "log", 22, b"damaged!")
    log = EventLog(tmp_path / "log")
    following = log.follow(20, poll=0.001)
    assert [next(following).position, next(following).position] == [20, 22]
    log.append([entry(13)])
    after = next(following)
    assert isinstance(after, Frame)
    assert after.position == 24
    log.close()


LOOK = """
    import sys
    from pathlib import Path
    from wl_core.environment import structural_damage
    from wl_core.errors import StorageError
    from wl_core.log import EventLog, Finding
    for name in sys.argv[1:]:
        path = Path(name)
        found = structural_damage(path)  # as `wl verify` does before it opens anything
        if not found:
            try:
                log = EventLog(path)
                found = [one for one in log.verify() if isinstance(one, Finding)]
                sound = [one.number for one in log.frames() if hasattr(one, "number")]
                log.close()
            except StorageError as error:
                found = [error]
        print("found" if found else sound == list(range(1, 13)), flush=True)
"""


def test_a_flipped_byte_of_the_file_ends_in_a_finding_and_never_in_a_crash(
    tmp_path: Path,
) -> None:
    """What is neither found nor harmful lies in pages that nobody reads."""
    filled(tmp_path / "log", size=800)
    data = (tmp_path / "log" / "data.mdb").read_bytes()
    pick = random.Random(5)
    paths = []
    for number in range(60):
        path = tmp_path / str(number)
        path.mkdir()
        damaged = bytearray(data)
        page = pick.randrange(len(data) // 4096) * 4096
        at = page + (pick.randrange(64) if number % 2 else pick.randrange(4096))
        damaged[at] ^= 1 << pick.randrange(8)
        (path / "data.mdb").write_bytes(damaged)
        paths.append(path)
    said = run_python(LOOK, *paths).split()
    assert len(said) == len(paths)
    assert set(said) <= {"found", "True"}
    assert said.count("found") > 10


def test_verify_finds_damage_beneath_the_frames_that_lmdb_does_not_mind(tmp_path: Path) -> None:
    filled(tmp_path / "log", size=800)
    file = tmp_path / "log" / "data.mdb"
    data = bytearray(file.read_bytes())
    overflow = next(at for at in range(8192, len(data), 4096) if data[at + 10] == 0x04)
    data[overflow] ^= 0x40  # the number that the page gives itself
    file.write_bytes(data)
    log = EventLog(tmp_path / "log")
    assert numbers(log) == list(range(1, 13))
    assert [one.position for one in findings(log)] == [None]
    assert "page" in findings(log)[0].reason
    log.close()


def test_a_file_that_was_cut_off_is_refused_by_name(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.mkdir()
    data = (sound / "data.mdb").read_bytes()
    (path / "data.mdb").write_bytes(data[: len(data) // 2])
    with pytest.raises(StorageError, match=r"data\.mdb is damaged.*copy it again"):
        EventLog(path)
    (path / "data.mdb").write_bytes(data)
    log = EventLog(path)
    assert findings(log) == []
    log.close()


def test_a_file_of_something_else_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "data.mdb").write_bytes(b"something else entirely" * 1000)
    with pytest.raises(StorageError, match="LMDB cannot use"):
        EventLog(tmp_path / "log")


def test_verify_waits_for_nobody_and_is_not_misled_by_a_writer(log: EventLog) -> None:
    stop = threading.Event()

    def write() -> None:
        for number in itertools.count(1):
            if stop.is_set():
                return
            log.append([entry(number, size=600)])

    writing = threading.Thread(target=write)
    writing.start()
    until(lambda: log.next_position > 20)
    for _ in range(5):
        assert findings(log) == []
    stop.set()
    writing.join(SECONDS)


# -- versions and what is not there ------------------------------------------------------


def test_a_newer_log_is_refused_and_both_versions_are_named(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "log")
    with raw(tmp_path / "log") as environment:
        meta = environment.open_db(b"meta")
        with environment.begin(write=True) as txn:
            txn.put(b"format", b"7", db=meta)
    with pytest.raises(UnsupportedFormatError, match=r"is of format 7.* up to format 1"):
        EventLog(tmp_path / "log")
    with raw(tmp_path / "log") as environment, environment.begin(write=True) as txn:
        txn.put(b"format", b"?", db=environment.open_db(b"meta", txn))
    with pytest.raises(StorageError, match="its format reads b'\\?'"):
        EventLog(tmp_path / "log")


def test_there_is_nothing_to_read_where_nothing_was_written(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="there is no log at"):
        EventLog(tmp_path / "log")
    assert not (tmp_path / "log").exists()


# -- G1, G4, G8: several processes ----------------------------------------------------------

APPEND = """
    import sys
    from pathlib import Path
    from tests.core.frames import entry
    from wl_core.log import EventLog
    path, writer, frames, size = Path(sys.argv[1]), sys.argv[2].encode(), *map(int, sys.argv[3:5])
    log = EventLog(path, create=True, map_size=65536)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(1, frames + 1):
        log.append([entry(number, count=1 + number % 4, writer=writer, size=size)])
    log.close()
"""
READ = """
    import sys
    from pathlib import Path
    from wl_core.codec import Frame
    from wl_core.log import EventLog
    log = EventLog(Path(sys.argv[1]), create=True, map_size=65536)
    print("ready", flush=True)
    sys.stdin.readline()
    at, last = 0, {}
    for frame in log.follow(poll=0.001):
        assert isinstance(frame, Frame), frame
        assert frame.position == at, (frame.position, at)
        assert frame.count == 1 + frame.number % 4
        assert frame.number == last.get(frame.writer, 0) + 1
        for event in frame.events:
            assert len(frame.vector(event[6])) == int(sys.argv[2])
        last[frame.writer] = frame.number
        at += frame.count
        if list(last.values()) == [int(sys.argv[3])] * 2:
            print(at)
            break
"""


def test_two_processes_append_at_once_and_a_third_reads_and_the_map_grows_under_all(
    tmp_path: Path,
) -> None:
    path, frames, size = tmp_path / "log", 60, 2000
    with (
        python(APPEND, path, "writer_1", frames, size) as first,
        python(APPEND, path, "writer_2", frames, size) as second,
        python(READ, path, size, frames) as reader,
    ):
        for process in (first, second, reader):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in (reader, first, second):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert reader.stdout is not None
        total = sum(1 + number % 4 for number in range(1, frames + 1)) * 2
        said, _ = reader.communicate(timeout=SECONDS)
        assert said == f"{total}\n"
        assert [first.wait(SECONDS), second.wait(SECONDS), reader.wait(SECONDS)] == [0, 0, 0]
    log = EventLog(path)
    writers = [one.writer for one in whole(log)]
    assert numbers(log, b"writer_1") == numbers(log, b"writer_2") == list(range(1, frames + 1))
    assert writers != sorted(writers)  # they did interleave
    assert findings(log) == []
    assert log.bytes_used > 10 * TINY
    log.close()


def test_the_map_grows_from_next_to_nothing_for_writer_and_reader_alike(tmp_path: Path) -> None:
    path = tmp_path / "log"
    ours = EventLog(path, create=True, map_size=TINY)
    script = """
        import sys
        from pathlib import Path
        from tests.core.frames import entry, whole
        from wl_core.log import EventLog
        log = EventLog(Path(sys.argv[1]), map_size=65536)
        for line in sys.stdin:
            first = len(whole(log)) + 1
            log.append([entry(number, size=50_000) for number in range(first, first + 5)])
            print(len(whole(log)), flush=True)
    """
    with python(script, path) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        for turn in range(1, 6):
            other.stdin.write("grow\n")
            other.stdin.flush()
            assert other.stdout.readline() == f"{10 * turn - 5}\n"
            assert len(whole(ours)) == 10 * turn - 5
            for number in range(10 * turn - 4, 10 * turn + 1):
                ours.append([entry(number, size=50_000)])
        other.stdin.close()
        assert other.wait(SECONDS) == 0
    assert numbers(ours) == list(range(1, 51))
    ours.close()
    assert structural_damage(path) == []


def test_one_frame_of_many_maps_is_taken(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log", create=True, map_size=TINY)
    log.append([entry(1, size=2_000_000)])
    assert len(whole(log)[0].vector(1)) == 2_000_000
    log.close()


def test_a_damaged_frame_among_the_read_ones_never_comes_back_half(log: EventLog) -> None:
    log.append([entry(1), Entry(WRITER, 2, 1, entry(2).frame[:-3]), entry(3)])
    found = list(log.frames())
    assert [type(one) for one in found] == [Frame, DamagedFrame, Frame]
    assert [one.position for one in found] == [0, 1, 2]
