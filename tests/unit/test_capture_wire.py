"""The messages between worker and daemon: what goes in comes out, and nonsense is an error."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.capture.order import ViewOrder
from tocsin.capture.wire import (
    PACKET,
    Broken,
    Command,
    Connected,
    Counts,
    Crashed,
    DropReason,
    Ended,
    FrameRecord,
    Free,
    Report,
    SceneRecord,
    Show,
    Stop,
    ViewRecord,
    decode_command,
    decode_report,
    encode,
)
from tocsin.errors import SourceFault, WorkerError
from tocsin.frame import SCENE_CELLS, WHOLE, Correction, Light, Reason, Scene

LIGHT = Light(120.0, 5.0, 110.0, 240.0, 0.0, 0.01, noise=1.5, colour=0.4)

SCENE = Scene(12.25, 7, np.linspace(0, 255, 144, dtype=np.float32).reshape(SCENE_CELLS))

_RECORD = FrameRecord(
    slot=1,
    at=12.5,
    period=0.1,
    silence=math.inf,
    width=1920,
    height=1080,
    views=(ViewRecord(WHOLE, 416, 234, 0, LIGHT, Correction.STRETCH, Reason.WHOLE),),
    decode_seconds=0.004,
    light_seconds=0.001,
    scene=SceneRecord.of(SCENE),
)


@pytest.mark.parametrize(
    "report",
    [
        _RECORD,
        replace(_RECORD, scene=None),
        Connected("h264", 1920, 1080, "udp"),
        Broken(SourceFault.STALL, "no data for 1.5 s", live=True, retry_in=0.5),
        Ended(),
        Counts(25, 1, 2, {DropReason.RATE: 15}),
        Counts(25, lost=3, jumps=1, ahead=-3600.5),
        Crashed("ValueError", "worker.py:1"),
    ],
    ids=lambda report: type(report).__name__,
)
def test_a_report_survives_the_wire(report: Report) -> None:
    """What the worker says is what the daemon hears."""
    assert decode_report(encode(report)) == report


def test_a_scene_survives_the_wire() -> None:
    """To the bit, for what is compared with it is looked for to the bit."""
    report = decode_report(encode(_RECORD))
    assert isinstance(report, FrameRecord)
    assert report.scene is not None
    scene = report.scene.scene()
    assert (scene.at, scene.keyframes) == (SCENE.at, SCENE.keyframes)
    assert scene.cells.dtype == np.float32
    assert (scene.cells == SCENE.cells).all()


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(SceneRecord.of(SCENE).cells[:-8], id="too few"),
        pytest.param(SceneRecord.of(SCENE).cells + "AAAAAAAA", id="too many"),
        pytest.param("", id="none"),
        pytest.param("?" * 768, id="something else"),
        *(
            pytest.param(
                SceneRecord.of(replace(SCENE, cells=SCENE.cells + np.float32(odd))).cells, id=f"{odd}"
            )
            for odd in (math.nan, math.inf, -1.0, 1e6)
        ),
    ],
)
def test_a_scene_that_makes_no_sense_is_an_error(cells: str) -> None:
    """Its values reach arithmetic; the sender is not trusted."""
    with pytest.raises(ValueError):  # noqa: PT011 - the keeper takes any for nonsense
        SceneRecord(1.0, 1, cells).scene()


def test_as_many_views_as_a_stream_may_have_fit_into_a_packet() -> None:
    """The whole frame and 64 parts of it, with numbers as long as they get and the longest words."""
    long = -math.pi * 1e-300
    light = Light(long, long, long, long, long, long, noise=long, colour=long)
    correction, reason = max(Correction, key=len), max(Reason, key=len)
    view = ViewRecord((long,) * 4, 100_000, 100_000, 2**31, light, correction, reason)
    assert len(encode(replace(_RECORD, at=long, views=(view,) * 65))) < PACKET


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(Counts(received=10**400), id="more pictures than a number holds"),
        pytest.param(Counts(quarantined=-1), id="fewer than none"),
        pytest.param(Counts(dropped={DropReason.RATE: 10**300}), id="more dropped than all cameras send"),
        *(
            pytest.param(
                Broken(SourceFault.STALL, "no", live=True, retry_in=wait), id=f"a wait of {wait:g} s"
            )
            for wait in (math.inf, math.nan, -1.0, 1e6)
        ),
    ],
)
def test_a_report_with_a_number_that_makes_no_sense_is_an_error(report: Report) -> None:
    """Its values reach arithmetic, and a wait without end would outlive the worker that told of it."""
    with pytest.raises(WorkerError, match="expected a report"):
        decode_report(encode(report))


_VIEWS = (ViewOrder(416, 416, True), ViewOrder(640, 384, False, region=(0.1, 0.2, 1 / 3, 1.0), grow=True))


@pytest.mark.parametrize(
    "command", [Free(2), Show(_VIEWS), Stop()], ids=lambda command: type(command).__name__
)
def test_a_command_survives_the_wire(command: Command) -> None:
    """What the daemon says is what the worker hears."""
    assert decode_command(encode(command)) == command


def test_an_order_of_as_many_views_as_a_stream_may_have_fits_into_a_packet() -> None:
    """The whole frame and 64 parts of it, with numbers as long as they get."""
    view = ViewOrder(100_000, 100_000, keep_aspect=False, region=(math.pi * 1e-300,) * 4, grow=True)
    assert len(encode(Show((view,) * 65))) < PACKET


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_report_are_an_error_of_the_worker(packet: bytes) -> None:
    """No packet makes the daemon raise anything but WorkerError."""
    with pytest.raises(WorkerError, match="expected a report"):
        decode_report(packet)


@given(st.sampled_from([_RECORD, Connected("h264", 2, 2), Counts(1)]), st.data(), _JSON)
def test_a_report_with_a_wrong_field_is_an_error_or_a_report(
    report: Report, data: st.DataObject, value: object
) -> None:
    """A worker that was taken over cannot bring other types into the daemon."""
    body = json.loads(encode(report))
    body[data.draw(st.sampled_from(sorted(body)))] = value
    try:
        heard = decode_report(json.dumps(body).encode())
    except WorkerError:
        return
    if isinstance(heard, FrameRecord):
        assert isinstance(heard.slot, int)
        assert isinstance(heard.at, float)
