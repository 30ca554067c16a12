"""What receivers get that cannot follow a link: the pictures themselves, each in the shape that it reads."""

from base64 import b64decode
from pathlib import Path

import cv2
import numpy as np
import pytest

from support.camera import FakeCamera
from support.daemon import Daemon
from support.forms import fields
from support.receiver import Receiver
from support.scene import Scene, visits
from support.site import site, stream, webhook
from support.wait import SCALE, until

pytestmark = pytest.mark.acceptance

LONG = 20.0 * SCALE


def shape(jpeg: bytes) -> tuple[int, ...]:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return picture.shape


def test_each_receiver_gets_the_pictures_in_its_own_shape(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """As base64 in the JSON, as files of a form, as the photo of a chat; after the alarm, which waits for none."""
    yard = stream("yard", "", evidence={"clip": False})
    with Receiver() as form, Receiver() as chat, Receiver() as small, FakeCamera(Scene(fps=10)) as camera:
        yard["source"] = camera.url
        config = site(block_model, receiver, yard, events=("alarm.raised", "evidence.made"))
        config["webhooks"][0]["attach"] = "base64"
        config["webhooks"] += [
            {**webhook("form", form, events=("evidence.*",)), "attach": "multipart"},
            {
                **webhook("chat", chat, events=("evidence.made",)),
                "format": "template",
                "attach": "multipart",
                "template": {"chat_id": "-100", "caption": "{summary}", "photo": "{crop}"},
            },
            {
                **webhook("small", small, events=("evidence.made",)),
                "format": "cloudevents",
                "attach": "base64",
                "attach_bytes": 1000,
            },
        ]
        with Daemon(config, tmp_path) as daemon:
            daemon.wait_metric("tocsin_frames_analysed_total", at_least=10, stream="yard")
            camera.show(Scene(fps=10, blocks=visits((0, 600))))
            made = receiver.wait_for("evidence.made", timeout=LONG)
            until(lambda: form.accepted and chat.accepted and small.accepted, LONG, "all of them")
            assert daemon.terminate() == 0
    assert [message.type for message in receiver.accepted][:2] == ["alarm.raised", "evidence.made"]
    raised = receiver.accepted[0]
    for key in ("alarm_id", "severity", "rule", "test", "picture", "respond"):
        assert made.data[key] == raised.data[key]
    assert made.data["kinds"] == ["frame", "corrected", "crop", "first", "plain"]
    beside = {one["kind"]: b64decode(one["base64"]) for one in made.data["attached"]}
    assert list(beside) == ["crop", "frame", "first", "corrected"]
    assert shape(beside["frame"]) == (240, 320)
    (parts,) = form.accepted
    found = fields(parts.raw, parts.headers["content-type"])
    assert {name: one.content for name, one in found.items() if one.file is not None} == beside
    (message,) = chat.accepted
    photo = fields(message.raw, message.headers["content-type"])
    assert photo["photo"].content == beside["crop"]
    assert photo["caption"].text.startswith("evidence made: block")
    (little,) = small.accepted
    assert little.body["data"]["attached"] == []
    assert little.body["data"]["left_out"] == ["crop", "frame", "first", "corrected"]
    assert receiver.refused == form.refused == chat.refused == small.refused == []
