"""From the scenes of analysed frames to what is said of cameras that were frozen or tampered with.

Events, metrics, log lines, the status; as `lights.py` does it for the light.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from tocsin.clock import wall_time
from tocsin.deliver.event import Event, EventType, StreamData
from tocsin.deliver.notation import new_id
from tocsin.deliver.store import Change
from tocsin.eyesight.covered import CoverVigil
from tocsin.eyesight.frozen import REASON as FROZEN
from tocsin.eyesight.frozen import FreezeVigil
from tocsin.frame import SCENE_EVERY, Frame, Scene

log = structlog.get_logger(__name__)

_SENTENCES = {
    EventType.STREAM_FROZEN: "the picture of a stream stands still",
    EventType.STREAM_COVERED: "a camera no longer shows what it usually does",
    EventType.STREAM_RESTORED: "a camera shows again what it should",
}


class Observer(Protocol):
    """Hears which cameras do not show what there is to be seen."""

    def frozen(self, stream: str, frozen: bool) -> None: ...
    def covered(self, stream: str, covered: bool) -> None: ...


@dataclass(slots=True)
class _Stream:
    """What is watched over in one stream, and what came since its last scene."""

    freeze: FreezeVigil = field(default_factory=FreezeVigil)
    cover: CoverVigil = field(default_factory=CoverVigil)
    scene: Scene | None = None
    silence: float = 0.0

    @property
    def standing(self) -> str | None:
        """The word for what was said and is not over; what was done to the camera comes first."""
        return self.cover.tamper or (FROZEN if self.freeze.frozen else None)


class Scenes:
    """Hears every analysed frame; used by the engine's thread alone, but for `statuses`.

    It lives in the daemon, so neither a reconnect nor another worker makes it forget. `commit` hands a change to
    the outbox and returns at once.
    """

    def __init__(self, commit: Callable[[Change], object], observe: Observer) -> None:
        self._commit = commit
        self._observe = observe
        self._streams: dict[str, _Stream] = {}
        # Written by the engine's thread, read by any other: a status is replaced whole.
        self._statuses: dict[str, str] = {}

    def statuses(self) -> dict[str, str]:
        """Return why a stream does not show what it should, for each of which that was said; from any thread."""
        return dict(self._statuses)

    def forget(self, stream: str) -> None:
        """Know nothing of a stream, as before its first frame; called while the engine is kept out."""
        if self._streams.pop(stream, None) is not None:
            self._observe.frozen(stream, False)
            self._observe.covered(stream, False)
        self._statuses.pop(stream, None)

    def analysed(self, frame: Frame, impaired: bool) -> bool:
        """Judge one analysed frame, whose stream may be reported as impaired; return whether it stands covered.

        Of these two one is said, the other then begins nothing: they have the same cause.
        """
        stream = self._streams.setdefault(frame.stream, _Stream())
        stream.silence = max(stream.silence, frame.silence)
        if frame.scene is not None and (stream.scene is None or frame.scene.at != stream.scene.at):
            stream.scene = frame.scene
            self._judge(frame, stream, frame.scene, impaired)
            stream.silence = 0.0
        return stream.cover.tamper is not None

    def _judge(self, frame: Frame, stream: _Stream, scene: Scene, impaired: bool) -> None:
        period = max(frame.period, SCENE_EVERY)
        frozen = stream.freeze.update(scene, period, stream.silence)
        if frozen is not None:
            self._observe.frozen(frame.stream, not frozen.over)
            kind = EventType.STREAM_RESTORED if frozen.over else EventType.STREAM_FROZEN
            self._tell(frame, kind, FROZEN, frozen.lasted)
        noise = frame.views[0].light.noise
        covered = stream.cover.update(scene, noise, period, stream.silence, impaired)
        if covered is not None:
            self._observe.covered(frame.stream, not covered.over)
            kind = EventType.STREAM_RESTORED if covered.over else EventType.STREAM_COVERED
            self._tell(frame, kind, covered.reason, covered.lasted)
        if stream.standing is not None:
            self._statuses[frame.stream] = stream.standing
        else:
            self._statuses.pop(frame.stream, None)

    def _tell(self, frame: Frame, kind: EventType, reason: str, lasted: float) -> None:
        log.warning(_SENTENCES[kind], stream=frame.stream, reason=str(reason), lasted=round(lasted, 1))
        at = wall_time(frame.at)
        data = StreamData(frame.stream, reason=reason, lasted=lasted)
        self._commit(Change(events=(Event(new_id(at), kind, at, data),)))
