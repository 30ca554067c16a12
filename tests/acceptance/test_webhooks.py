"""The daemon and its receivers: every way to sign in, every format, and what nobody may read."""

import json
from pathlib import Path
from typing import Any

import pytest

from support import canary
from support.camera import FakeCamera
from support.daemon import Daemon
from support.events import ALARM
from support.receiver import SECRET, Receiver
from support.scene import Scene, visits
from support.site import site, stream, webhook
from support.wait import until

pytestmark = pytest.mark.acceptance

SECRETS = {
    "HEADER": "canary-h3ader",
    "PASSWORD": "canary-p4ssword",
    "TOKEN": "canary-t0ken",
    "SIGNING": SECRET,
}
ADDRESS = "canary-4ddress"
"""What is secret in the address of a receiver."""


@pytest.mark.fault(65)
def test_what_opens_a_receiver_s_door_is_seen_by_it_alone(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """Headers, passwords, tokens and addresses reach the receiver, and no log, page, command line or database.

    One receiver takes its deliveries, one refuses, one is not there, so that there is something to be logged.
    """
    canary.watch(*SECRETS.values(), ADDRESS)
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera, Receiver() as denying:
        denying.answer(401)
        config = site(block_model, receiver, stream("yard", camera.url))
        base = [webhook("basic", receiver), webhook("bearer", receiver), webhook("denied", denying)]
        base.append({"name": "away"})
        urls = {
            "HERE_URL": f"{receiver.url}/{ADDRESS}?key={ADDRESS}",
            "DENYING_URL": f"{denying.url}/{ADDRESS}",
            "AWAY_URL": f"http://127.0.0.1:1/{ADDRESS}",
        }
        more: list[dict[str, Any]] = [
            {
                "username": "tocsin",
                "password": {"env": "PASSWORD"},
                "headers": {"X-Key": {"env": "HEADER"}},
                "url": {"env": "HERE_URL"},
            },
            {"token": {"env": "TOKEN"}},
            {
                "token": {"env": "TOKEN"},
                "headers": {"X-Key": {"env": "HEADER"}},
                "url": {"env": "DENYING_URL"},
            },
            {"url": {"env": "AWAY_URL"}},
        ]
        config["webhooks"] = [
            {**one, **extra, "secret": {"env": "SIGNING"}} for one, extra in zip(base, more, strict=True)
        ]
        with Daemon(config, tmp_path, environment=SECRETS | urls) as daemon:
            until(lambda: len(receiver.accepted) == 2, 20, "the deliveries")
            daemon.wait_metric(
                "tocsin_delivery_attempts_total", at_least=1, webhook="denied", outcome="denied"
            )
            daemon.wait_metric(
                "tocsin_delivery_attempts_total", at_least=1, webhook="away", outcome="unreachable"
            )
            shown = [daemon.get("/metrics")[1], daemon.status("--json")]
            daemon.terminate()
            shown += [
                daemon.log,
                *(
                    path.read_bytes().decode("latin-1")
                    for path in daemon.state_dir.rglob("*")
                    if path.is_file()
                ),
            ]
    got = {message.headers["authorization"].partition(" ")[0] for message in receiver.accepted}
    assert got == {"Basic", "Bearer"}, "the secrets were used"
    assert denying.requests[0].headers["x-key"] == SECRETS["HEADER"]
    text = "\n".join([*shown, *(message.raw.decode() for message in receiver.requests)])
    assert "denied" in text
    for secret in (*SECRETS.values(), ADDRESS):
        assert secret.removeprefix("whsec_") not in text


def test_one_alarm_in_every_format(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """One event comes as it was committed, as a CloudEvent and by a template, under one id, each signed."""
    formats: dict[str, dict[str, Any]] = {
        "tocsin": {},
        "cloudevents": {},
        "template": {"template": {"text": "{late}{class} at {stream}"}},
    }
    with FakeCamera(Scene(fps=10, blocks=visits((0, 600)))) as camera:
        config = site(block_model, receiver, stream("yard", camera.url))
        config["webhooks"] = [
            {**webhook(name, receiver), "format": name, **more} for name, more in formats.items()
        ]
        with Daemon(config, tmp_path) as daemon:
            until(lambda: len(receiver.accepted) == 3, 20, "one delivery in each format")
            assert daemon.terminate() == 0
    by_type = {
        message.headers["content-type"] + str(sorted(message.body)): message for message in receiver.accepted
    }
    assert len(by_type) == 3
    assert len({message.id for message in receiver.accepted}) == 1
    (cloud,) = [message for message in receiver.accepted if "cloudevents" in message.headers["content-type"]]
    (own,) = [message for message in receiver.accepted if message.type == "alarm.raised"]
    (chat,) = [message for message in receiver.accepted if message.body.keys() == {"text"}]
    assert cloud.body["data"] == own.body["data"]
    assert cloud.body["data"].keys() >= ALARM.payload().keys()
    assert (cloud.body["id"], cloud.body["type"]) == (own.id, "tocsin.alarm.raised")
    assert json.loads(chat.raw) == {"text": "block at yard"}
    assert receiver.refused == []
