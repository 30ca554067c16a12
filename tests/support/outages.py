"""Outages of random length, and how soon their end is noticed."""

import random
import time
from contextlib import ExitStack

from support.camera import FakeCamera
from support.capturing import capturing, order
from support.scene import Scene

HEALTHY_S = 11.0
"""Good frames for so long end an outage: the next one is a new one."""


class _Patient:
    """One camera that is down again and again; `found` holds (seconds down, seconds until a frame was there)."""

    def __init__(self, camera: FakeCamera, lengths: list[float]) -> None:
        self.camera, self.lengths = camera, lengths
        self.found: list[tuple[float, float]] = []
        self._down = ExitStack()
        self._up_at = self._back_at = 0.0
        self._healthy_since: float | None = None

    @property
    def is_done(self) -> bool:
        return len(self.found) == len(self.lengths)

    def frame(self, at: float) -> None:
        """Note the arrival of a frame; only one after the camera's return counts."""
        if self._back_at and at > self._back_at:
            self.found.append((self.lengths[len(self.found)], at - self._back_at))
            self._back_at, self._healthy_since = 0.0, at
        elif self._healthy_since is None and not self._up_at:
            self._healthy_since = at

    def turn(self, now: float) -> None:
        """Take the camera away or give it back when that is due."""
        if self._up_at and now >= self._up_at:
            self._down.close()
            self._up_at, self._back_at = 0.0, time.monotonic()
        elif self._healthy_since is not None and now - self._healthy_since > HEALTHY_S and not self.is_done:
            self._healthy_since = None
            self._down.enter_context(self.camera.refusing())
            self._up_at = now + self.lengths[len(self.found)]


def outages(cameras: int, each: int, longest: float, seed: int) -> list[tuple[float, float]]:
    """Return, in seconds, how long a camera was away and how long after that a frame came, of each outage.

    Each camera has so many outages of 0.5 s to `longest`, in which its port is closed.
    """
    chance = random.Random(seed)
    with ExitStack() as stack:
        patients = {}
        for number in range(cameras):
            camera = stack.enter_context(FakeCamera(Scene(fps=10.0)))
            patients[f"s{number}"] = _Patient(camera, [chance.uniform(0.5, longest) for _ in range(each)])
        orders = [order(patient.camera.url, name=name) for name, patient in patients.items()]
        capture = stack.enter_context(capturing(orders))
        while not all(patient.is_done for patient in patients.values()):
            for frame in capture.supervisor.take(8, 0.02):
                patients[frame.stream].frame(frame.at)
                capture.supervisor.release(frame)
            for patient in patients.values():
                patient.turn(time.monotonic())
    return [one for patient in patients.values() for one in patient.found]
