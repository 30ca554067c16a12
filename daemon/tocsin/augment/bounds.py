"""What of a data set may be read: a folder that a person named, and not what links in it lead to elsewhere."""

import os
import stat
from functools import cache
from pathlib import Path


class Bounds:
    """The folder `root` with all that really lies in it.

    A data set comes from strangers, links and all: one in it could have any file of this machine read as a picture
    or as labels. So places are compared when every link is followed, that of the root too, which a person named.
    With `follow` a person says that links may lead anywhere.
    """

    def __init__(self, root: Path, *, follow: bool = False) -> None:
        self.root = root
        self._real = os.path.realpath(root)
        self._follow = follow
        self._holds = cache(
            self._is_inside
        )  # a folder of pictures is asked for once, and not for each of them

    def hindrance(self, path: Path) -> str | None:
        """Return what keeps a path from being read, as words for what was found; None where nothing does.

        What is not there is no hindrance: who reads it says so.
        """
        if not self._holds(path.parent):
            return _LINK
        try:
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                if not self._is_inside(path):
                    return _LINK
                mode = path.stat().st_mode
        except OSError:
            return None
        # reading from a pipe would wait forever
        return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "a device or a pipe"

    def _is_inside(self, path: Path) -> bool:
        real = os.path.realpath(path)
        return self._follow or real == self._real or real.startswith(self._real.rstrip(os.sep) + os.sep)


_LINK = "a link that leads out of it (see --follow-links)"
