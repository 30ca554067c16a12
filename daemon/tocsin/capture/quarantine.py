"""Which decoded pictures can be believed. Pure."""


class Quarantine:
    """After damage nothing passes until a clean keyframe.

    Every picture between two keyframes builds on the ones before it: once one is damaged, decoders conceal it and
    mark next to none of those that follow.
    """

    def __init__(self) -> None:
        self._damaged = True  # a stream that is joined midway shows grey until its first keyframe

    def damage(self) -> None:
        """Note a decode error."""
        self._damaged = True

    def passes(self, *, keyframe: bool, corrupt: bool) -> bool:
        """Return whether the picture is clean."""
        if corrupt:
            self._damaged = True
        elif keyframe:
            self._damaged = False
        return not self._damaged
