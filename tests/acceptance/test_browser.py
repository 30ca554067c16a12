"""The clip of an alarm plays in a browser, from its own link and with nothing installed."""

from pathlib import Path
from typing import Any

import pytest

from support.browser import Browser
from support.camera import FakeCamera
from support.daemon import Daemon
from support.receiver import Receiver
from support.scene import Scene, visits
from support.site import site, stream
from support.wait import SCALE, until

pytestmark = pytest.mark.acceptance

BRIEF = {"before": "1s", "after": "2s"}

BEGINS = """new Promise((done) => {
  const video = document.querySelector("video");
  const told = (name) => done([name, video.error && video.error.message]);
  for (const name of ["playing", "error"]) video.addEventListener(name, () => told(name));
  if (video.readyState >= 2 && !video.paused) told("playing");
  video.play();
})"""
"""What comes of playing it."""

SEEKS = """new Promise((done) => {
  const video = document.querySelector("video");
  video.pause();
  video.addEventListener("seeked", () => done(video.currentTime));
  video.currentTime = 0;
})"""

FIRST = """(() => {
  const video = document.querySelector("video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const red = pixels.filter((_, place) => place % 4 == 0);
  return red.reduce((a, b) => Math.max(a, b)) - red.reduce((a, b) => Math.min(a, b));
})()"""
"""How much the first picture shows: the range of its red."""


def facts(browser: Browser) -> dict[str, Any]:
    """What the browser's player knows of the clip."""
    wanted = "currentTime", "duration", "videoWidth", "videoHeight"
    told = ", ".join(f"{name}: document.querySelector('video').{name}" for name in wanted)
    return dict(browser.evaluate(f"({{{told}}})"))


def play(browser: Browser, url: str, shot: Path) -> dict[str, Any]:
    """Play a clip by its link; return what the player knows of it while it plays."""
    browser.open(url)
    until(lambda: browser.evaluate("!!document.querySelector('video')"), 10 * SCALE, "a player")
    event, error = browser.evaluate(BEGINS)
    assert (event, error) == ("playing", None)
    until(lambda: facts(browser)["currentTime"] > 0.5, 10.0 * SCALE, "the clip to go on")
    browser.screenshot(shot)
    known = facts(browser)
    assert browser.evaluate(SEEKS) == 0
    assert browser.evaluate(FIRST) > 50
    return known


def test_a_browser_plays_clips_from_their_first_picture_on(
    block_model: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """The camera's own packets and what was encoded anew: whole, with its length, and to any place in it."""
    with FakeCamera(Scene(fps=10)) as camera, Browser(tmp_path) as browser:
        private = [[[0.75, 0.5], [1, 0.5], [1, 1], [0.75, 1]]]
        yard = stream("yard", camera.url, evidence=dict(BRIEF))
        gate = stream("gate", camera.url, evidence=dict(BRIEF), private=private)
        with Daemon(site(block_model, receiver, yard, gate), tmp_path) as daemon:
            for name in ("yard", "gate"):
                daemon.wait_metric("tocsin_frames_analysed_total", at_least=10, stream=name)
            camera.show(Scene(fps=10, blocks=visits((0, 600))))
            receiver.wait_for("alarm.raised", 2)
            for name in ("yard", "gate"):
                kept = {"stream": name, "kind": "clip", "outcome": "kept"}
                daemon.wait_metric("tocsin_evidence_total", at_least=1, **kept)
            for raised in receiver.accepted[:2]:
                known = play(browser, raised.data["picture"]["clip"], tmp_path / "playing.png")
                assert (known["videoWidth"], known["videoHeight"]) == (320, 240)
                assert 3.0 <= known["duration"] < 8.0
