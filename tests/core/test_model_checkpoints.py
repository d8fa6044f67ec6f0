from __future__ import annotations

import hashlib
import os
import pickle
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR, OneCycleLR

import wl_core as wl
from tests.core.watched_runs import Finished, events
from wl_core.errors import StorageError, UnsupportedFormatError, UsageError
from wl_core.session import session


class Training:
    """A tiny model that is watched, and its steps."""

    def __init__(self, width: int = 2) -> None:
        self.model = wl.watch_or_edit(nn.Linear(3, width), flag="model")
        self.optimizer = wl.watch_or_edit(
            torch.optim.AdamW(self.model.parameters(), lr=0.1), flag="optimizer"
        )

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            with wl.guard_training_context:
                self.optimizer.zero_grad()
                self.model(torch.rand(4, 3)).square().mean().backward()
                self.optimizer.step()

    def bits(self) -> list[bytes]:
        """Every bit of the weights and of the optimizer's state."""
        states = [self.optimizer.state[one] for one in self.model.parameters()]
        tensors = [*self.model.parameters(), *(one for state in states for one in state.values())]
        return [one.detach().numpy().tobytes() for one in tensors]


@pytest.fixture
def training(finished: Finished) -> Training:
    return Training()


def files(finished: Finished) -> list[str]:
    return sorted(one.name for one in (finished.path / "checkpoints").iterdir())


def saved_by_hand(finished: Finished, content: bytes, name: str = "checkpoints/x.pt") -> Path:
    """A file that the log names, with the right digest, whatever is in it."""
    path = finished.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    session().recorder.add("model_saved", session().step, name, len(content), digest)
    return path


def continued(finished: Finished) -> Training:
    """The next process, as far as the run can tell."""
    wl.finish()
    wl.start_run(finished.path)
    return Training()


def test_the_model_is_saved_in_the_frame_of_every_nth_step(
    finished: Finished, training: Training
) -> None:
    assert wl.checkpoint(every=2, keep=2) is None
    training.step(7)
    assert files(finished) == ["step-00000004.pt", "step-00000006.pt"]
    run = finished()
    told = events(run, "model_saved")
    assert [(one["step"], one["phase"], one["age"]) for one in told] == [
        (1, "train", 2),
        (3, "train", 4),
        (5, "train", 6),
    ]
    content = (finished.path / told[-1]["file"]).read_bytes()
    assert told[-1]["size"] == len(content)
    assert told[-1]["digest"] == hashlib.sha256(content).hexdigest()


def test_what_is_saved_is_the_model_after_the_steps_update(
    finished: Finished, training: Training
) -> None:
    wl.checkpoint(every=3)
    training.step(3)
    loaded = torch.load(finished.path / "checkpoints/step-00000003.pt", weights_only=True)
    saved = loaded["models"]["model"]["state"]["weight"]
    assert torch.equal(saved, training.model.weight)


def test_a_step_that_failed_is_not_saved(finished: Finished, training: Training) -> None:
    wl.checkpoint(every=1)
    with pytest.raises(ZeroDivisionError), wl.guard_training_context:
        _ = 1 / 0
    assert not (finished.path / "checkpoints").exists()
    training.step()
    assert files(finished) == ["step-00000002.pt"]


def test_keep_none_keeps_all(finished: Finished, training: Training) -> None:
    wl.checkpoint(every=1, keep=None)
    training.step(5)
    assert len(files(finished)) == 5


def test_a_file_that_the_log_names_is_never_written_again(
    finished: Finished, training: Training
) -> None:
    first = wl.checkpoint()
    assert first is not None
    before = first.read_bytes()
    with torch.no_grad():
        training.model.weight.zero_()
    wl.checkpoint()
    assert first.read_bytes() == before
    assert files(finished) == ["step-00000000-2.pt", "step-00000000.pt"]
    training.step()
    restored = wl.restore()
    assert restored is not None
    assert restored.file.name == "step-00000000-2.pt"
    assert not training.model.weight.any()


def test_saving_draws_no_random_number_and_changes_nothing(training: Training) -> None:
    training.step()
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    bits = training.bits()
    wl.checkpoint()
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert before == after
    assert training.bits() == bits


def test_all_of_it_comes_back_in_place(finished: Finished, training: Training) -> None:
    generator = torch.Generator().manual_seed(7)
    schedule = OneCycleLR(training.optimizer, 0.1, total_steps=50)
    training.step(3)
    schedule.step()
    wl.checkpoint(extra={"schedule": schedule, "generator": generator})
    bits, rate = training.bits(), schedule.get_last_lr()
    drawn = [random.random(), np.random.rand(), float(torch.rand(())), np.random.randn()]
    drawn_own = torch.rand(3, generator=generator).tolist()

    again = continued(finished)
    weight = again.model.weight
    again.step(2)
    schedule = OneCycleLR(again.optimizer, 0.1, total_steps=50)
    generator = torch.Generator()
    restored = wl.restore(extra={"schedule": schedule, "generator": generator})
    path = finished.path / "checkpoints/step-00000003.pt"
    assert restored == wl.Restored(age=3, step=5, file=path)
    assert wl.model_age() == 3
    assert again.model.weight is weight
    assert again.bits() == bits
    assert schedule.get_last_lr() == rate
    assert [random.random(), np.random.rand(), float(torch.rand(())), np.random.randn()] == drawn
    assert torch.rand(3, generator=generator).tolist() == drawn_own
    with wl.guard_training_context:
        pass
    assert (session().step, wl.model_age()) == (6, 4)
    [told] = events(finished(), "model_restored")
    assert (told["step"], told["age"]) == (5, 3)


def test_ages_stay_true_over_several_lives(finished: Finished, training: Training) -> None:
    wl.checkpoint(every=2)
    training.step(3)
    for step, age in ((3, 2), (6, 4)):
        again = continued(finished)
        wl.checkpoint(every=2)
        assert (session().step, wl.restore().age) == (step, age)  # type: ignore[union-attr]
        again.step(3)
    assert [(one["step"], one["age"]) for one in events(finished(), "model_saved")] == [
        (1, 2),
        (4, 4),
        (7, 6),
    ]


def test_a_run_that_never_saved_has_nothing_to_restore(training: Training) -> None:
    assert wl.restore() is None
    training.step()
    assert wl.model_age() == 1


def test_an_older_model_is_found_by_its_step(training: Training) -> None:
    wl.checkpoint(every=2, keep=None)
    training.step(5)
    found = wl.restore(step=3)
    assert found is not None
    assert (found.age, found.step) == (2, 5)
    with pytest.raises(UsageError, match="the first was saved at step 2"):
        wl.restore(step=1)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone"])
def test_a_damaged_newest_file_is_passed_over(training: Training, damage: str) -> None:
    wl.checkpoint(every=1, keep=None)
    training.step(2)
    newest = session().directory.path / "checkpoints/step-00000002.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "gone":
        newest.unlink()
    else:
        newest.write_bytes(content if damage == "flipped" else content[:-100])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = wl.restore()
    assert found is not None
    assert found.age == 1
    said = [str(one.message) for one in caught if one.category is wl.CheckpointWarning]
    assert [one.partition(" is damaged")[0] for one in said] == (
        [] if damage == "gone" else ["checkpoints/step-00000002.pt"]
    )


def test_when_no_file_can_be_used_the_error_names_them(training: Training) -> None:
    path = wl.checkpoint()
    assert path is not None
    path.unlink()
    with pytest.raises(StorageError, match=r"step-00000000\.pt is gone"):
        wl.restore()


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", ["torch", "pickle"])
def test_nothing_in_a_file_is_executed(
    finished: Finished, training: Training, tmp_path: Path, protocol: str
) -> None:
    wl.checkpoint()
    evil = {"format": 1, "models": _Evil(tmp_path / "executed")}
    made = tmp_path / "evil.pt"
    if protocol == "torch":
        torch.save(evil, made)
    else:
        made.write_bytes(pickle.dumps(evil, protocol=2))
    saved_by_hand(finished, made.read_bytes())
    continued(finished)
    with pytest.warns(wl.CheckpointWarning, match="without executing code"):
        found = wl.restore()
    assert found is not None
    assert found.file.name == "step-00000000.pt"
    assert not (tmp_path / "executed").exists()
    torch.load(made, weights_only=False) if protocol == "torch" else pickle.loads(made.read_bytes())
    assert (tmp_path / "executed").exists()  # it would have been


def test_a_file_outside_of_the_folder_is_neither_read_nor_removed(
    finished: Finished, training: Training
) -> None:
    path = wl.checkpoint()
    assert path is not None
    other = saved_by_hand(finished, path.read_bytes(), "../stranger.pt")
    continued(finished)
    with pytest.warns(wl.CheckpointWarning, match="not in the folder"):
        wl.restore()
    wl.checkpoint(keep=1)
    assert other.exists()


def test_a_file_of_a_newer_format_is_refused(finished: Finished, training: Training) -> None:
    made = finished.path / "new.pt"
    torch.save({"format": 99}, made)
    saved_by_hand(finished, made.read_bytes())
    continued(finished)
    with pytest.raises(UnsupportedFormatError, match="format 99"):
        wl.restore()


def test_what_does_not_fit_is_refused_before_anything_changes(
    finished: Finished, training: Training
) -> None:
    wl.checkpoint()
    wl.finish()
    wl.start_run(finished.path)
    other = Training(width=5)
    wl.watch_or_edit(torch.optim.SGD(other.model.parameters(), lr=1.0), flag="optimizer")
    wl.watch_or_edit(nn.Linear(1, 1), flag="model", name="critic")
    bits, state = [one.clone() for one in other.model.parameters()], torch.get_rng_state()
    with pytest.raises(UsageError) as caught:
        wl.restore()
    for part in (
        r"models['critic'] is not in the file",
        r"models['model']: weight is [5, 3], in the file [2, 3]",
        r"optimizers['optimizer']: it is a SGD, in the file a AdamW",
        "nothing was changed",
    ):
        assert part in str(caught.value)
    assert all(map(torch.equal, bits, other.model.parameters()))
    assert torch.equal(state, torch.get_rng_state())


class _Stateful:
    def __init__(self, state: Any) -> None:
        self.state = state

    def state_dict(self) -> Any:
        return self.state

    def load_state_dict(self, state: Any) -> None:
        self.state = state


def test_what_could_not_be_loaded_again_is_refused_by_its_place(training: Training) -> None:
    odd = _Stateful({"rules": [1, {"warm": lambda x: x}]})
    with pytest.raises(UsageError, match=r"extra\['odd'\]\['rules'\]\[1\]\['warm'\] is a"):
        wl.checkpoint(every=5, extra={"odd": odd})
    with pytest.raises(UsageError, match=r"state_dict\(\).*got int"):
        wl.checkpoint(extra={"number": 3})


def test_plain_states_come_back_as_they_were(training: Training) -> None:
    odd = _Stateful(
        {
            "rate": np.float64(0.1),
            "pair": (1, None, b"x", torch.float32, torch.Size([2])),
            3: {"names": {"a", "b"}, "shared": nn.Parameter(torch.ones(2))},
        }
    )
    schedule = MultiStepLR(training.optimizer, [2, 4])  # its state holds a Counter
    wl.checkpoint(extra={"odd": odd, "schedule": schedule})
    wanted, odd.state = odd.state, None
    assert wl.restore() is not None
    assert type(odd.state["rate"]) is float
    assert odd.state["rate"] == wanted["rate"]
    assert odd.state["pair"] == wanted["pair"]
    assert odd.state[3]["names"] == {"a", "b"}
    assert torch.equal(odd.state[3]["shared"], torch.ones(2))


def test_a_disk_that_refuses_costs_the_checkpoint_and_not_the_training(
    finished: Finished, training: Training
) -> None:
    wl.checkpoint(every=1)
    training.step()
    (finished.path / "checkpoints/step-00000002.pt.partial").symlink_to("/dev/full")
    with pytest.warns(wl.CheckpointWarning, match="step 2 could not be saved.*No space"):
        training.step()
    assert files(finished) == ["step-00000001.pt"]
    (finished.path / "checkpoints/step-00000002.pt.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space"):
        wl.checkpoint()
    training.step()
    assert files(finished) == ["step-00000001.pt", "step-00000003.pt"]
    assert finished().status().step == 3


def test_within_a_step_there_is_nothing_to_save_or_restore(training: Training) -> None:
    with wl.guard_training_context:
        with pytest.raises(UsageError, match="training guard is open"):
            wl.checkpoint()
        with pytest.raises(UsageError, match="training guard is open"):
            wl.restore()
    with wl.guard_testing_context:
        assert wl.checkpoint() is not None


def test_without_a_watched_model_it_is_said_how_to_watch_one(finished: Finished) -> None:
    for call in (wl.checkpoint, wl.restore, lambda: wl.checkpoint(every=3)):
        with pytest.raises(UsageError, match='flag="model"'):
            call()


@pytest.mark.parametrize("wrong", [{"every": 0}, {"keep": 0}])
def test_counts_begin_at_one(training: Training, wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        wl.checkpoint(**wrong)  # type: ignore[arg-type]


def test_an_edit_that_is_newer_than_the_model_holds(finished: Finished, training: Training) -> None:
    def asked(rate: float) -> None:
        finished.live().append(
            "hyperparameters", values={"optimizer.lr": rate}, who="a test", why=""
        )
        training.step()

    asked(0.02)
    wl.checkpoint()
    asked(0.03)
    assert wl.restore() is not None
    assert training.optimizer.param_groups[0]["lr"] == 0.03
    again = continued(finished)
    assert wl.restore() is not None
    assert again.optimizer.param_groups[0]["lr"] == 0.03


def test_what_a_killed_process_left_half_written_is_cleared_away(
    finished: Finished, training: Training
) -> None:
    (finished.path / "checkpoints").mkdir()
    (finished.path / "checkpoints/step-00000009.pt.partial").write_bytes(b"half")
    wl.checkpoint()
    assert files(finished) == ["step-00000000.pt"]
