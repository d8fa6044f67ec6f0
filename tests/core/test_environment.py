"""One LMDB environment per path and process; forks, network disks and errors of the backend."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import threading
from pathlib import Path

import lmdb
import pytest

from tests.core.frames import SECONDS, entry, in_forked_child, numbers, python, run_python
from wl_core.environment import (
    open_environment,
    refuse_network_file_system,
    structural_damage,
    translated,
)
from wl_core.errors import (
    DetachedRunError,
    LogWriteError,
    NetworkFileSystemError,
    RunNotFoundError,
    StorageError,
)
from wl_core.log import EventLog

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/ada/scratch xfs rw 0 0
//nas/data /mnt/data\\040sets cifs rw 0 0
sshfs#x /far fuse.sshfs rw 0 0
overlay /homely overlay rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/ada/runs", "nfs4 at /home"),
        ("/home", "nfs4 at /home"),
        ("/mnt/data sets/runs/1", "cifs at /mnt/data sets"),
        ("/far/away", "fuse.sshfs at /far"),
    ],
)
def test_a_network_file_system_is_refused_with_what_to_do(path: str, kind: str) -> None:
    with pytest.raises(NetworkFileSystemError, match=f"{kind}.*--root.*WL_ROOT.*root_log_dir"):
        refuse_network_file_system(Path(path), MOUNTS)


@pytest.mark.parametrize("path", ["/home/ada/scratch/runs", "/homely/runs", "/", "/var/lib"])
def test_a_local_disk_is_not(path: str) -> None:
    refuse_network_file_system(Path(path), MOUNTS)
    refuse_network_file_system(Path(path), "")


def test_a_path_is_opened_once_in_a_process_and_closed_by_its_last_user(tmp_path: Path) -> None:
    first = open_environment(tmp_path / "e", create=True)
    second = open_environment(tmp_path / "." / "e")
    assert first is second
    first.close()
    assert second.database(b"still there") is not None
    second.close()
    with pytest.raises(StorageError, match="closed"):
        second.database(b"gone")
    with lmdb.open(str(tmp_path / "e"), max_dbs=8, lib_version=0):
        pass  # a second one beside an open one would be refused


def test_the_files_are_of_the_format_that_every_lmdb_reads(tmp_path: Path) -> None:
    open_environment(tmp_path / "e", create=True).close()
    head = (tmp_path / "e" / "data.mdb").read_bytes()[:32]
    assert int.from_bytes(head[16:20], "little") == 0xBEEFC0DE
    assert int.from_bytes(head[20:24], "little") == 1  # 0.9 and before; LMDB 1.0 writes others
    assert structural_damage(tmp_path / "e") == []


def test_nothing_is_made_where_nothing_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="there is no log at"):
        open_environment(tmp_path / "e")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (lmdb.DiskError("No space left on device"), LogWriteError),
        (lmdb.ReadonlyError("x"), LogWriteError),
        (lmdb.Error("mdb_txn_commit: File too large"), LogWriteError),
        (lmdb.Error("Disk quota exceeded"), LogWriteError),
        (lmdb.Error("mdb_txn_commit: Input/output error"), LogWriteError),
        (lmdb.CorruptedError("x"), StorageError),
        (lmdb.PageNotFoundError("x"), StorageError),
        (lmdb.InvalidError("not an LMDB file"), StorageError),
    ],
    ids=repr,
)
def test_the_backends_errors_become_ours_and_keep_their_cause(
    raised: Exception, expected: type[Exception]
) -> None:
    with pytest.raises(expected, match="/some/where") as caught, translated(Path("/some/where")):
        raise raised
    assert type(caught.value) is expected
    assert caught.value.__cause__ is raised


# -- G6: forks ---------------------------------------------------------------------------------


def test_a_forked_child_can_do_nothing_and_harms_nothing(tmp_path: Path) -> None:
    """Everything that a child could try, its finalisers included; then the parent goes on."""
    log = EventLog(tmp_path / "log", create=True)
    log.append([entry(1), entry(2)])
    held = open_environment(tmp_path / "log")

    def everything() -> list[str]:
        attempts = {
            "append": lambda: log.append([entry(3)]),
            "read": lambda: list(log.frames()),
            "next": lambda: log.next_position,
            "size": lambda: log.bytes_used,
            "database": lambda: held.database(b"new"),
            "sync": held.sync,
        }
        said = []
        for name, attempt in attempts.items():
            try:
                attempt()
            except DetachedRunError as error:
                said += [name] * (f"process {os.getppid()}" in str(error))
        log.close()
        held.close()
        held.close()
        gc.collect()
        return said

    # The parent reads while the child dies: what the child gave up must not be the parent's.
    reading = log.environment.reading()
    with reading as txn:
        before = txn.stat(held.database(b"frames"))["entries"]
        said = in_forked_child(everything)
        assert txn.stat(held.database(b"frames"))["entries"] == before
    assert said == "['append', 'read', 'next', 'size', 'database', 'sync']"
    assert _readers(log) == [os.getpid()]
    log.append([entry(3), entry(4)])
    assert numbers(log) == [1, 2, 3, 4]
    held.close()
    log.close()
    assert structural_damage(tmp_path / "log") == []


def _readers(log: EventLog) -> list[int]:
    lines = log.environment._env.readers().splitlines()[1:]
    return sorted({int(line.split()[0]) for line in lines})


def test_a_child_that_ends_does_not_free_the_pages_that_its_parent_reads(tmp_path: Path) -> None:
    """Measured elsewhere: a child that closes what it inherited does."""
    log = EventLog(tmp_path / "log", create=True)
    log.append([entry(number, size=500) for number in range(1, 20)])
    environment = log.environment
    with environment.reading() as txn:
        in_forked_child(log.close)
        script = """
            import sys
            from pathlib import Path
            from tests.core.frames import entry
            from wl_core.log import EventLog
            log = EventLog(Path(sys.argv[1]))
            for number in range(1, 60):
                log.append([entry(number, writer=b"writer 2", size=500)])
        """
        with python(script, tmp_path / "log") as other:
            assert other.wait(SECONDS) == 0
        cursor = txn.cursor(db=environment.database(b"frames"))
        assert [value for _, value in cursor] == [
            entry(number, size=500).frame for number in range(1, 20)
        ]
    log.close()


def test_a_child_does_not_wait_for_a_thread_that_it_has_not(tmp_path: Path) -> None:
    """At the fork the parent's commit thread may be at work, with locks that nobody gives back."""
    log = EventLog(tmp_path / "log", create=True)
    taken, over = threading.Event(), threading.Event()

    def commits() -> None:
        with log.environment.turn():
            taken.set()
            over.wait(SECONDS)

    at_work = threading.Thread(target=commits)
    at_work.start()
    assert taken.wait(SECONDS)

    def child() -> int:
        signal.alarm(20)
        refused = 0
        for attempt in (
            lambda: log.append([entry(1)]),
            lambda: log.next_position,
            lambda: log.bytes_used,
            log.environment.sync,
        ):
            with contextlib.suppress(DetachedRunError):
                attempt()
                continue
            refused += 1
        log.close()
        return refused

    assert in_forked_child(child) == "4"
    over.set()
    at_work.join(SECONDS)
    log.close()


DROPS = """
    import gc, os, sys
    from pathlib import Path
    from tests.core.frames import entry, numbers
    from wl_core.log import EventLog
    log = EventLog(Path(sys.argv[1]), create=True)
    log.append([entry(1)])
    numbers(log)
    if os.fork() == 0:
        del log
        gc.collect()
        sys.exit(0)
    os.wait()
    lines = log.environment._env.readers().splitlines()[1:]
    print({int(line.split()[0]) for line in lines} == {os.getpid()})
"""


def test_a_child_that_drops_its_last_reference_does_not_finalise_the_handle(tmp_path: Path) -> None:
    """That would take the parent's places among the readers away."""
    assert run_python(DROPS, tmp_path / "log") == "True\n"


def test_a_child_may_open_another_path_and_its_own_handle_works(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log", create=True)
    log.append([entry(1)])

    def another() -> list[int]:
        own = EventLog(tmp_path / "other", create=True)
        own.append([entry(1), entry(2)])
        return numbers(own)

    assert in_forked_child(another) == "[1, 2]"
    assert numbers(log) == [1]
    log.close()


def test_a_disk_without_room_for_the_first_page_is_an_error_of_ours(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from wl_core.environment import open_environment
        from wl_core.errors import LogWriteError
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            open_environment(Path(sys.argv[1]), create=True).database(b"x")
        except LogWriteError as error:
            print(error)
    """
    with python(script, tmp_path / "e") as process:
        said, _ = process.communicate(timeout=SECONDS)
    assert os.strerror(errno.EFBIG) in said
