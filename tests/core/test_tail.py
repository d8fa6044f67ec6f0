"""The tail file: whole records come back, torn ones never do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.frames import WRITER, entry, run_python
from wl_core import tail as tails
from wl_core.tail import Entry, Tail, read_tails, tail_paths

OTHER = b"writer 2"


def test_records_come_back_as_they_were_in_the_writers_order(tmp_path: Path) -> None:
    entries = [
        Entry(WRITER, 1, 3, b"frame", 1),
        Entry(WRITER, 2, 1, b"", 2, [(b"r" * 16, b"\x01x"), (b"s" * 16, b"")], landmark=3),
    ]
    tail, other = Tail(tmp_path, WRITER), Tail(tmp_path, OTHER)
    for one in entries:
        tail.append(one)
        other.append(Entry(OTHER, one.number, one.count, one.frame))
    found = list(read_tails(tmp_path))
    assert [(one.writer, one.number) for one in found] == [
        (WRITER, 1), (WRITER, 2), (OTHER, 1), (OTHER, 2)
    ]  # fmt: skip
    assert found[0] == entries[0]
    assert found[1] == Entry(WRITER, 2, 1, b"", 2, ((b"r" * 16, b"\x01x"), (b"s" * 16, b"")), 3)
    tail.close(remove=True)
    assert len(tail_paths(tmp_path)) == 2
    other.close(remove=False)
    assert len(list(read_tails(tmp_path))) == 2


def test_a_record_is_there_for_others_when_append_returns(tmp_path: Path) -> None:
    tail = Tail(tmp_path, WRITER)
    for number in range(1, 50):
        tail.append(entry(number))
        assert [one.number for one in read_tails(tmp_path)] == list(range(1, number + 1))
    tail.close(remove=True)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a tail file with three records."""
    directory = tmp_path_factory.mktemp("three")
    tail = Tail(directory, WRITER)
    for number in (1, 2, 3):
        tail.append(entry(number, arrays=((b"r" * 16, b"\x01" + bytes(20)),)))
    tail.close(remove=False)
    return tail_paths(directory)[0].read_bytes()


def numbers_of(data: bytes, directory: Path) -> list[int]:
    (directory / f"tail-{WRITER.hex()}-0").write_bytes(data)
    return [one.number for one in read_tails(directory)]


def test_a_torn_last_record_is_left_out_wherever_it_was_torn(three: bytes, tmp_path: Path) -> None:
    record = (len(three) - 16) // 3
    for length in range(len(three) + 1):
        whole = max(0, length - 16) // record
        assert numbers_of(three[:length], tmp_path) == [1, 2, 3][:whole]


@given(data=st.data())
def test_a_flipped_byte_ends_the_file_there(
    three: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(three) - 1))
    damaged = bytearray(three)
    damaged[at] ^= data.draw(st.integers(1, 255))
    directory = tmp_path_factory.mktemp("flipped")
    if 8 <= at < 16:  # another writer's name: nothing to tell it from
        assert numbers_of(bytes(damaged), directory) == [1, 2, 3]
        return
    record = (len(three) - 16) // 3
    expected = [1, 2, 3][: (at - 16) // record] if at >= 16 else []
    assert numbers_of(bytes(damaged), directory) == expected


@given(st.binary(max_size=200))
def test_a_file_that_is_no_tail_holds_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    directory = tmp_path_factory.mktemp("noise")
    assert numbers_of(data, directory) == []
    assert numbers_of(b"WLTAIL01" + WRITER + data, directory) == []


def test_two_files_take_turns_and_only_the_committed_one_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "_ROTATE_BYTES", 1000)
    tail = Tail(tmp_path, WRITER)
    assert tail.turn() is None
    number = 0
    full = None
    while full is None:
        number += 1
        tail.append(entry(number))
        full = tail.turn()
    tail.append(entry(number + 1))
    assert [one.number for one in read_tails(tmp_path)] == list(range(1, number + 2))
    tail.empty(full)
    assert [one.number for one in read_tails(tmp_path)] == [number + 1]
    tail.close(remove=True)


FULL_DISK = """
    import resource, sys
    from pathlib import Path
    from tests.core.frames import WRITER, entry
    from wl_core.errors import LogWriteError
    from wl_core.tail import Tail, read_tails

    tail = Tail(Path(sys.argv[1]), WRITER)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    for number in range(1, 1000):
        try:
            tail.append(entry(number, size=200))
        except LogWriteError as error:
            print(number)
            print(error)
            break
    print([one.number for one in read_tails(Path(sys.argv[1]))] == list(range(1, number)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    tail.append(entry(number))  # whole records follow whole records
    print([one.number for one in read_tails(Path(sys.argv[1]))] == list(range(1, number + 1)))
"""


def test_a_disk_that_takes_a_part_of_a_record_keeps_none_of_it(tmp_path: Path) -> None:
    number, error, all_before, all_after = run_python(FULL_DISK, tmp_path).splitlines()
    assert int(number) > 5
    assert "tail-" in error
    assert "File too large" in error
    assert (all_before, all_after) == ("True", "True")
