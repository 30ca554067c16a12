"""From the light of analysed frames to what is said about it: events, a metric, log lines, the status."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from tocsin.clock import wall_time
from tocsin.deliver.event import Event, EventType, ImpairmentData
from tocsin.deliver.notation import new_id
from tocsin.deliver.store import Change
from tocsin.eyesight.corrections import CorrectionVigil, Flapping, Held
from tocsin.eyesight.impairment import Impairment, ImpairmentVigil, Notice
from tocsin.frame import Correction, Frame, View

log = structlog.get_logger(__name__)


class Observer(Protocol):
    """Hears which streams cannot be seen."""

    def impaired(self, stream: str, impaired: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class LightStatus:
    """The light of a stream's last analysed frame, and why the stream was reported as impaired, if it is."""

    mean: float
    contrast: float
    correction: Correction
    impaired: Impairment | None


@dataclass(slots=True)
class _Stream:
    """What is watched over in one stream."""

    impairment: ImpairmentVigil = field(default_factory=ImpairmentVigil)
    corrections: CorrectionVigil = field(default_factory=CorrectionVigil)


class Lights:
    """Hears every analysed frame; used by the engine's thread alone, but for `statuses`.

    The light of a frame is that of its first view. `commit` hands a change to the outbox and returns at once.
    """

    def __init__(self, commit: Callable[[Change], object], observe: Observer) -> None:
        self._commit = commit
        self._observe = observe
        self._streams: dict[str, _Stream] = {}
        # Written by the engine's thread, read by any other: a status is replaced whole.
        self._statuses: dict[str, LightStatus] = {}

    def statuses(self) -> dict[str, LightStatus]:
        """Return how each stream was last seen; from any thread."""
        return dict(self._statuses)

    def forget(self, stream: str) -> None:
        """Know nothing of a stream, as before its first frame; called while the engine is kept out."""
        if self._streams.pop(stream, None) is not None:
            self._observe.impaired(stream, False)
        self._statuses.pop(stream, None)

    def impaired(self, stream: str) -> bool:
        """Whether that was said of a stream and is not over."""
        known = self._streams.get(stream)
        return known is not None and known.impairment.impaired is not None

    def analysed(self, frame: Frame, covered: bool = False) -> None:
        """Judge one analysed frame and say what is new about its stream; a covered one does not become impaired."""
        stream = self._streams.setdefault(frame.stream, _Stream())
        view = frame.views[0]
        told = stream.corrections.update(view.correction, frame.at)
        if told is not None:
            _log_correction(frame.stream, told, view)
        if not covered or stream.impairment.impaired is not None:
            notice = stream.impairment.update(view.light, frame.at, frame.period, frame.silence)
            if notice is not None:
                self._tell(frame, notice)
        self._statuses[frame.stream] = LightStatus(
            view.light.mean, view.light.contrast, view.correction, stream.impairment.impaired
        )

    def _tell(self, frame: Frame, notice: Notice) -> None:
        light = notice.light
        sentence = "the stream can be seen again" if notice.over else "the stream cannot be seen reliably"
        log.warning(
            sentence,
            stream=frame.stream,
            reason=notice.reason.value,
            mean=round(light.mean, 1),
            contrast=round(light.contrast, 1),
            lasted=round(notice.lasted, 1),
        )
        self._observe.impaired(frame.stream, not notice.over)
        at = wall_time(frame.at)
        kind = EventType.STREAM_RESTORED if notice.over else EventType.STREAM_IMPAIRED
        data = ImpairmentData(frame.stream, notice.reason, light.mean, light.contrast, notice.lasted)
        self._commit(Change(events=(Event(new_id(at), kind, at, data),)))


def _log_correction(stream: str, told: Held | Flapping, view: View) -> None:
    """Write one line; the light of `view` is that of a picture for which the correction has held."""
    if isinstance(told, Flapping):
        sentence = "the correction of a stream's light keeps changing"
        between = ", ".join(one.value for one in Correction if one in told.between)
        log.info(sentence, stream=stream, changes=told.changes, within=round(told.within), between=between)
        return
    about = {
        "now": told.now.value,
        "why": view.reason.value,
        "mean": round(view.light.mean, 1),
        "contrast": round(view.light.contrast, 1),
    }
    if told.before is told.now:
        log.info("the correction of a stream's light is steady again", stream=stream, **about)
    else:
        sentence = "the correction of a stream's light changed"
        log.info(sentence, stream=stream, before=told.before.value, **about)
