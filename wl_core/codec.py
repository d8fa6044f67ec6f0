"""Frame <-> bytes: msgpack behind a checksum, with limits.

    value  = crc32 of the rest (4 bytes, little-endian) + msgpack array
    array  = [format, count, step, time, writer, number, phase, failed, blobs, events]
    blobs  = [dtype, bytes, dtype, bytes, …]   ids that hold text: ["s", [id, …]]
    events = [[kind, version, field, …], …]

Decoding executes nothing, allocates no more than a small multiple of the bytes that it is given,
and either gives a whole frame or names what is wrong (`DamagedFrameError`).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from wl_core.errors import DamagedFrameError, FrameTooLargeError, UnsupportedFormatError
from wl_core.events import CATALOGUE, Catalogue, Field, WireEvent

FORMAT = 1
MAX_FRAME_BYTES = 256 << 20
PHASES = ("outside", "train", "test")
SampleId = int | str

_PHASES = dict(enumerate(PHASES))  # unlike the tuple, knows no -1
_CHECKSUM = struct.Struct("<I")
_pack = msgpack.Packer(
    unicode_errors="surrogatepass"
).pack  # making a packer for each frame would be a tenth of its price
# What a vector may be made of; anything else in a blob table is damage. V16 is an array reference.
DTYPES = {
    code: np.dtype("V16" if code == "V16" else "?" if code == "b1" else f"<{code}")
    for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "V16")
}
_ITEM_SIZES = {code: dtype.itemsize for code, dtype in DTYPES.items()}
_ID_CODES, _ID_TYPES = frozenset(("s", "i4", "i8")), frozenset((int, str))
_CODES = {dtype: code for code, dtype in DTYPES.items()}


@dataclass(slots=True)
class Frame:
    """The events of one commit.

    ``position`` is that of its first event (-1 until it is committed). ``writer`` (8 bytes) and
    ``number`` say who wrote it and as which of that writer's frames. ``blobs`` alternates a dtype
    code and its bytes, or ``"s"`` and a tuple of ids.
    """

    step: int
    time: float
    writer: bytes
    number: int
    phase: str
    failed: bool
    blobs: Sequence[Any]
    events: Sequence[WireEvent]
    position: int = -1

    @property
    def count(self) -> int:
        return len(self.events)

    def vector(self, index: int) -> npt.NDArray[Any]:
        """The blob of that index as a read-only array."""
        return np.frombuffer(self.blobs[2 * index + 1], DTYPES[self.blobs[2 * index]])

    def ids(self, index: int) -> list[SampleId]:
        """The blob of that index as sample ids."""
        code, data = self.blobs[2 * index], self.blobs[2 * index + 1]
        return list(data) if code == "s" else self.vector(index).tolist()


@dataclass(frozen=True, slots=True)
class DamagedFrame:
    """Stands in a reader's stream where a frame could not be decoded."""

    position: int
    reason: str


class FrameBuilder:
    """Collects events and their vectors; equal vectors are kept once.

    ``landmark`` is how the frame is to be found again, by the kinds of its events.
    """

    __slots__ = ("_index", "_layouts", "blobs", "events", "landmark")

    def __init__(self, catalogue: Catalogue = CATALOGUE) -> None:
        self._layouts = catalogue.layouts
        self.blobs: list[Any] = []
        self.events: list[WireEvent] = []
        self.landmark = 0
        self._index: dict[tuple[str, Any], int] = {}

    def add(self, kind: str, *fields: Any) -> None:
        """Appends an event of the kind's newest version."""
        version, width, _, _, json, landmark = self._layouts[kind]
        if len(fields) + 2 != width:
            raise TypeError(f"an event {kind!r} has {width - 2} fields, got {len(fields)}")
        if json:
            fields = tuple(plain(f) if n in json else f for n, f in enumerate(fields))
        self.events.append((kind, version, *fields))
        self.landmark |= landmark

    def blob(self, code: str, data: Any) -> int:
        """The index of this blob, which is stored if an equal one is not there yet."""
        key = (code, data)
        index = self._index.get(key)
        if index is None:
            index = self._index[key] = len(self.blobs) // 2
            self.blobs += key
        return index

    def vector(self, array: npt.NDArray[Any]) -> int:
        """Stores a vector of any numeric dtype, little-endian."""
        return self.blob(*pack_vector(array))

    def ids(self, ids: Sequence[SampleId]) -> int:
        """Stores sample ids: packed integers when all are, else text and integers as they are."""
        return self.blob(*pack_ids(ids))


def plain(value: Any) -> Any:
    """What a script gave, as JSON could hold it: no key but text, and anything unknown as its text.

    Integers beyond 64 bits become text as well. Infinities and NaN stay.
    """
    if value is None or isinstance(value, (bool, float, str)):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return str(value)


def pack_ids(ids: Sequence[SampleId]) -> tuple[str, Any]:
    """The blob of these ids: ``("i4" or "i8", bytes)`` if all are integers, else ``("s", ids)``."""
    if all(type(one) is int for one in ids):
        array = np.asarray(ids, np.int64)
        if array.size == 0 or (array.min() >= -(2**31) and array.max() < 2**31):
            return "i4", array.astype("<i4").tobytes()
        return "i8", array.astype("<i8").tobytes()
    return "s", tuple(ids)


def pack_vector(array: npt.NDArray[Any]) -> tuple[str, bytes]:
    """The blob of a vector of any numeric dtype, little-endian."""
    code = _CODES.get(array.dtype)
    if code is None:
        array = array.astype(array.dtype.newbyteorder("<"))
        code = _CODES[array.dtype]
    return code, array.tobytes()


def pack_index(array: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Non-negative integers in the narrowest unsigned dtype that holds them."""
    top = int(array.max()) if array.size else 0
    return array.astype(np.uint8 if top < 2**8 else np.uint16 if top < 2**16 else np.uint32)


def encode(frame: Frame) -> bytes:
    """The bytes of a frame; its position is not among them, the log's key says it.

    Raises:
        FrameTooLargeError: the step carries more than `MAX_FRAME_BYTES`.
    """
    body: bytes = _pack(
        (
            FORMAT,
            len(frame.events),
            frame.step,
            frame.time,
            frame.writer,
            frame.number,
            PHASES.index(frame.phase),
            frame.failed,
            frame.blobs,
            frame.events,
        ),
    )
    if len(body) > MAX_FRAME_BYTES:
        raise FrameTooLargeError(
            f"one step carries {len(body):,} bytes of events and a frame holds"
            f" {MAX_FRAME_BYTES:,}: leave the guard more often, or record less in one step"
        )
    return _CHECKSUM.pack(zlib.crc32(body)) + body


def decode(position: int, data: bytes, catalogue: Catalogue = CATALOGUE) -> Frame:
    """The frame in these bytes, its events in their newest versions.

    Raises:
        DamagedFrameError: checksum, structure or a limit is violated.
        UnsupportedFormatError: the frame is of a newer format than this wl reads.
    """
    if len(data) < _CHECKSUM.size:
        raise DamagedFrameError(position, f"{len(data)} bytes are too few for a checksum")
    body = memoryview(data)[_CHECKSUM.size :]
    if zlib.crc32(body) != _CHECKSUM.unpack_from(data)[0]:
        raise DamagedFrameError(position, "its checksum does not match its bytes")
    parts = _unpack(position, body)
    try:
        _, count, step, time, writer, number, phase, failed, blobs, events = parts
        frame = Frame(step, time, writer, number, _PHASES[phase], failed, blobs, events, position)
        _check(frame, count)
        frame.events = _newest(events, blobs, catalogue)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise DamagedFrameError(position, f"it is not built like a frame ({error})") from error
    return frame


def _unpack(position: int, body: memoryview) -> tuple[Any, ...]:
    """msgpack bounds every length by the bytes at hand, and the depth by its stack."""
    try:
        parts = msgpack.unpackb(body, use_list=False, max_ext_len=0, unicode_errors="surrogatepass")
    except (ValueError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise DamagedFrameError(position, f"msgpack cannot read it ({error})") from error
    if not isinstance(parts, tuple) or not parts or not isinstance(parts[0], int):
        raise DamagedFrameError(position, "it is not a frame")
    if parts[0] > FORMAT:
        raise UnsupportedFormatError(
            f"the frame at position {position} is of format {parts[0]}, and this wl reads up to"
            f" format {FORMAT}: read it with a newer wl"
        )
    return parts


def _check(frame: Frame, count: int) -> None:
    if count != len(frame.events) or count < 1:
        raise ValueError(f"it says {count} events and has {len(frame.events)}")
    if not (isinstance(frame.step, int) and isinstance(frame.number, int)):
        raise TypeError("step and number must be integers")
    if not (isinstance(frame.time, float) and isinstance(frame.writer, bytes)):
        raise TypeError("time must be a float, writer bytes")
    blobs = frame.blobs
    for code, data in zip(blobs[0::2], blobs[1::2], strict=True):
        if code == "s":
            if not (isinstance(data, tuple) and _ID_TYPES.issuperset(map(type, data))):
                raise TypeError("ids must be integers and text")
        elif not isinstance(data, bytes):
            raise TypeError("a vector must be bytes")
        elif len(data) % _ITEM_SIZES[code]:
            raise ValueError(f"a blob of {len(data)} bytes cannot hold {code}")


def _newest(
    events: Sequence[WireEvent], blobs: Sequence[Any], catalogue: Catalogue
) -> list[WireEvent]:
    """The events in their newest versions, with the fields of these and blobs that are there."""
    layouts = catalogue.layouts.get
    newest: list[WireEvent] = []
    vectors: list[Any] = []
    ids: list[Any] = []
    for stored in events:
        event = stored
        layout = layouts(event[0])
        if layout is None or event[1] != layout.version:
            event = catalogue.upcast(_checked(event))
        if layout is not None:
            if len(event) != layout.width:
                raise ValueError(f"{event[0]} has {len(event) - 2} fields")
            vectors += layout.vectors(event)
            ids += layout.ids(event)
        newest.append(event)
    codes = blobs[0::2]
    for named, of_ids in ((vectors, False), (ids, True)):
        for index in set(named):
            if index is not None and not _names(index, codes, of_ids):
                raise ValueError(f"an event names {index!r} as a blob of {len(codes)}")
    return newest


def _names(index: Any, codes: Sequence[str], of_ids: bool) -> bool:
    """Is there such a blob, and one that can hold that?"""
    if type(index) is not int or not 0 <= index < len(codes):
        return False
    return codes[index] in _ID_CODES if of_ids else codes[index] != "s"


def _checked(event: WireEvent) -> WireEvent:
    if len(event) < 2 or not isinstance(event[0], str) or not isinstance(event[1], int):
        raise ValueError("an event must begin with its kind and version")
    return event


@dataclass(frozen=True, slots=True)
class Event:
    """One event for people: fields by name, vectors as lists."""

    position: int
    step: int
    time: float
    phase: str
    kind: str
    data: dict[str, Any]
    failed: bool


def frame_events(frame: Frame, catalogue: Catalogue = CATALOGUE) -> Iterator[Event]:
    """The events of a frame, decoded in full; those of unknown kinds keep their raw fields.

    What is in the frame once, as ids often are, is one list in all of its events.
    """
    decoded: dict[tuple[str, int], Any] = {}
    for offset, event in enumerate(frame.events):
        kind = catalogue.get(event[0])
        if kind is None:
            data: dict[str, Any] = {"fields": list(event[2:])}
        else:
            data = {}
            for spec, value in zip(kind.fields, event[2:], strict=True):
                data[spec.name] = _readable(frame, spec, value, decoded)
        yield Event(
            frame.position + offset,
            frame.step,
            frame.time,
            frame.phase,
            event[0],
            data,
            frame.failed,
        )


def _readable(frame: Frame, field: Field, value: Any, decoded: dict[tuple[str, int], Any]) -> Any:
    if value is None or field.type not in ("vector", "ids"):
        return value
    key = field.type, value
    if key not in decoded:
        decoded[key] = frame.ids(value) if field.type == "ids" else _as_list(frame.vector(value))
    return decoded[key]


def _as_list(vector: npt.NDArray[Any]) -> list[Any]:
    return [one.tobytes().hex() for one in vector] if vector.dtype.kind == "V" else vector.tolist()
