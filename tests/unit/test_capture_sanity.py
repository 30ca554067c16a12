"""Which records of frames make sense."""

import math
from dataclasses import replace
from typing import Any

import pytest

from support.pictures import light
from tocsin.capture.sanity import check_record
from tocsin.capture.wire import FrameRecord, SceneRecord, ViewRecord
from tocsin.errors import WorkerError
from tocsin.frame import WHOLE, Correction, Light, Reason

VIEW = ViewRecord(WHOLE, 4, 4, 0, Light(0, 0, 0, 0, 0, 0), Correction.NONE, Reason.GOOD)
SOUND = FrameRecord(0, 0.0, 0.1, 0.1, 4, 4, (VIEW,), 0.0, 0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"views": ()}, id="no view"),
        pytest.param({"views": (VIEW, VIEW)}, id="a view too many"),
        pytest.param({"views": (replace(VIEW, region=(0.5, 0.0, 0.5, 1.0)),)}, id="a view of nothing"),
        pytest.param({"views": (replace(VIEW, region=(0.0, -0.1, 1.0, 1.0)),)}, id="a view beyond the frame"),
        pytest.param({"views": (replace(VIEW, region=(0.0, 0.0, math.nan, 1.0)),)}, id="a view of nowhere"),
        pytest.param({"at": 1e300}, id="the end of time"),
        pytest.param({"at": float("nan")}, id="no time"),
        pytest.param({"period": 0.0}, id="no period"),
        pytest.param({"silence": float("nan")}, id="no silence"),
        pytest.param({"silence": -1.0}, id="a silence before it began"),
        pytest.param({"views": (replace(VIEW, light=light(mean=math.nan)),)}, id="no brightness"),
        pytest.param({"views": (replace(VIEW, light=light(p99=math.inf)),)}, id="no contrast"),
        pytest.param({"views": (replace(VIEW, light=light(noise=math.nan)),)}, id="no noise"),
        pytest.param({"scene": SceneRecord(1e9, 1, "")}, id="a scene of another time"),
        pytest.param({"decode_seconds": math.nan}, id="no time to decode"),
        pytest.param({"light_seconds": -1.0}, id="done before it began"),
        pytest.param({"width": 10**400}, id="a picture wider than a number"),
        pytest.param({"height": 0}, id="a picture without a row"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    """A worker that was taken over cannot bring the daemon down with a number."""
    check_record(SOUND, 1, 0.0)
    with pytest.raises(WorkerError, match="makes no sense"):
        check_record(replace(SOUND, **wrong), 1, 0.0)


def test_a_small_picture_may_have_fewer_views_than_ordered() -> None:
    """Where views would show the same, one of them stands for all."""
    check_record(replace(SOUND, views=(VIEW, VIEW)), 7, 0.0)
