"""What is made of each analysed frame: of its light, of its scene, and of what every rule finds in it."""

import threading
from collections.abc import Collection, Mapping, Sequence

from tocsin.alarms import Alarms, Origin, Watched
from tocsin.eyesight.lights import Lights
from tocsin.eyesight.scenes import Scenes
from tocsin.frame import Detections, Frame


class Lookout:
    """Judges frames by one configuration after the other.

    `seen` is the engine's sink and for its thread alone, all else is for any.
    """

    def __init__(self, lights: Lights, scenes: Scenes, alarms: Alarms, streams: Collection[str]) -> None:
        self.lights, self.scenes, self.alarms = lights, scenes, alarms
        # Keeps `adopt` between two frames: each is judged by one configuration, none by neither and none by both.
        # Held for as long as the rules take for a frame, or for a new configuration: milliseconds.
        self._turn = threading.Lock()
        self._analysed = dict.fromkeys(streams, 0)  # of the streams whose frames count

    @property
    def streams(self) -> Collection[str]:
        """The streams whose frames count."""
        return tuple(self._analysed)

    @property
    def analysed(self) -> dict[str, int]:
        """How many frames of each stream there were since it came."""
        return dict(self._analysed)

    def seen(self, frame: Frame, detections: Detections) -> None:
        """Take one analysed frame; one of a stream that is gone, and was still on its way, counts for nothing."""
        with self._turn:
            if frame.stream not in self._analysed:
                return
            self._analysed[frame.stream] += 1
            covered = self.scenes.analysed(frame, self.lights.impaired(frame.stream))
            self.lights.analysed(frame, covered)
            self.alarms.analysed(frame, detections)

    def adopt(
        self,
        streams: Collection[str],
        anew: Collection[str],
        watched: Mapping[str, Sequence[Watched]],
        origin: Origin,
    ) -> None:
        """Go on with other streams and watches from the next frame on.

        Of streams that are gone, or are to be looked at `anew` since they show something else, nothing is known.
        """
        with self._turn:
            for stream in (self._analysed.keys() - set(streams)) | set(anew):
                self.lights.forget(stream)
                self.scenes.forget(stream)
            self._analysed = {stream: self._analysed.get(stream, 0) for stream in streams}
            self.alarms.origin = origin
            self.alarms.adopt(watched, anew)
