"""The catalogue: what a kind is, how versions grow, and what stays readable."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from tests.core.frames import WRITER, frame
from wl_core.codec import Frame, decode, encode, frame_events
from wl_core.errors import DamagedFrameError, UnsupportedFormatError
from wl_core.events import BUILTIN_KINDS, CATALOGUE, Catalogue, Field, FieldType, Kind


def holding(*events: tuple[object, ...]) -> bytes:
    return encode(Frame(0, 1.0, WRITER, 1, "outside", False, [], events))


@pytest.mark.parametrize("kind", BUILTIN_KINDS, ids=lambda kind: kind.name)
def test_every_kind_is_complete(kind: Kind) -> None:
    names = [field.name for field in kind.fields]
    assert len(set(names)) == len(names)
    assert {field.type for field in kind.fields} <= set(typing.get_args(FieldType))
    assert kind.doc.endswith(".")
    assert all(field.type == "text" for field in kind.fields[: kind.key])
    assert set(kind.upcasters) == set(range(1, kind.version))


def test_names_are_unique() -> None:
    names = [kind.name for kind in BUILTIN_KINDS]
    assert len(set(names)) == len(names)


def test_a_field_is_found_by_name() -> None:
    kind = CATALOGUE.get("values")
    assert kind is not None
    assert kind.index("signal") == 2
    assert kind.index("values") == 6
    with pytest.raises(KeyError, match="values has no field 'size'"):
        kind.index("size")


def test_a_name_that_is_taken_is_refused_and_the_same_kind_is_not() -> None:
    catalogue = Catalogue()
    catalogue.add(Kind("greeting", "Somebody says hello."))
    catalogue.add(Kind("greeting", "Somebody says hello."))
    with pytest.raises(ValueError, match="'greeting' exists already"):
        catalogue.add(Kind("greeting", "Something else.", (Field("who", "text"),)))


def three_versions() -> Catalogue:
    kind = Kind(
        "greeting",
        "Somebody says hello.",
        (Field("who", "text"), Field("times", "int"), Field("loud", "bool")),
        version=3,
        upcasters={
            1: lambda event: ("greeting", 2, event[2], 1),
            2: lambda event: ("greeting", 3, event[2], event[3], False),
        },
    )
    return Catalogue([*BUILTIN_KINDS, kind])


def test_an_old_event_is_brought_to_the_newest_version_step_by_step() -> None:
    data = holding(
        ("greeting", 1, "ada"), ("greeting", 2, "bob", 7), ("greeting", 3, "cy", 1, True)
    )
    assert decode(0, data, three_versions()).events == [
        ("greeting", 3, "ada", 1, False),
        ("greeting", 3, "bob", 7, False),
        ("greeting", 3, "cy", 1, True),
    ]


def test_a_newer_event_is_refused_and_both_versions_are_named() -> None:
    data = holding(("greeting", 4, "ada", 1, True, "fr"))
    with pytest.raises(UnsupportedFormatError, match=r"greeting events of version 4.* version 3"):
        decode(0, data, three_versions())


def test_a_newer_frame_is_refused_and_both_versions_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wl_core.codec.FORMAT", 2)
    data = encode(frame())
    monkeypatch.undo()
    with pytest.raises(UnsupportedFormatError, match=r"position 7 is of format 2.* format 1"):
        decode(7, data)


def test_an_event_of_an_unknown_kind_is_readable() -> None:
    found = decode(5, holding(("values_of_mars", 9, "red", 4.5, [1, 2]), ("resumed", 1)))
    first, second = frame_events(found)
    assert (first.kind, first.position) == ("values_of_mars", 5)
    assert first.data == {"fields": ["red", 4.5, (1, 2)]}
    assert (second.kind, second.position) == ("resumed", 6)


@pytest.mark.parametrize(
    "event",
    [
        ("values", 1),
        ("values", 1, "loss", "train", False, 0, 0, 0),
        ("values", 0, "loss", "train", False, 0, 0),
        ("values", 1, "loss", "train", False, 5, 0),
        ("values", 1, "loss", "train", False, -1, 0),
        ("values", 1, "loss", "train", False, "0", 0),
        ("resumed", 1, "by whom"),
        ("mars", "1"),
        ("mars",),
        ("m", 1.5),
        (1, 1),
        (),
    ],
    ids=repr,
)
def test_an_event_of_another_shape_is_damage(event: tuple[object, ...]) -> None:
    with pytest.raises(DamagedFrameError, match="position 3"):
        decode(3, holding(event))


def test_kinds_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        BUILTIN_KINDS[0].version = 2  # type: ignore[misc]
