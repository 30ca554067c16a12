"""Evidence is kept from the moment on in which the disk lets it be, and asked for no oftener than that is worth."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tocsin.custody.announcements import Announcements
from tocsin.custody.archive import Archive, Raised, Settings, Wanted
from tocsin.custody.keeping import Keeping
from tocsin.evidence.shelf import Limits

SETTINGS = Settings({"yard": Wanted()}, Limits(3600.0, 1 << 30, 0), "https://before")
RAISED = Raised("yard", "alarm_1", 10.0, 9.0, (0.1, 0.1, 0.2, 0.2), "person", 0.8)


class Site:
    """A state directory, and who hears of the key and the archive."""

    def __init__(self, state: Path) -> None:
        self.keys: list[bytes] = []
        self.begun: list[Archive] = []
        self.keeping = Keeping(
            *(state, SETTINGS, Announcements(lambda _: None, {}), SimpleNamespace()),  # type: ignore[arg-type]
            ask=lambda *_: False,
            keyed=self.keys.append,
            begin=self.begun.append,
            fail=pytest.fail,
        )

    def turn(self, *moments: float) -> list[Any]:
        with capture_logs() as logs:
            for now in moments:
                self.keeping.turn(now)
        return [one["event"] for one in logs]


def test_where_the_disk_refuses_it_is_tried_again_every_five_seconds(tmp_path: Path) -> None:
    """It is said once that nothing is kept, and once that it is again; alarms have no links until then."""
    site = Site(tmp_path / "state")
    assert site.turn(100.0, 100.5, 105.5) == ["nothing is kept of alarms until the disk lets it be"]
    assert site.keeping.links(RAISED) is None
    assert site.keeping.read("alarm_1", "frame", 100) is None
    (tmp_path / "state").mkdir()
    assert site.turn(106.0) == []
    assert not site.begun
    assert site.turn(110.5, 111.0) == ["pictures and clips of alarms are kept from now on"]
    assert site.begun == [site.keeping.archive]
    assert len(site.keys) == 1


def test_what_a_reload_wants_holds_for_an_archive_that_opens_later(tmp_path: Path) -> None:
    """And for one that is open."""
    site = Site(tmp_path)
    site.keeping.adopt(Settings(SETTINGS.wanted, SETTINGS.limits, "https://after"))
    assert site.turn(100.0) == []
    links = site.keeping.links(RAISED)
    assert links is not None
    assert links["url"].startswith("https://after/")
    site.keeping.adopt(Settings({}, SETTINGS.limits, "https://last"))
    assert site.keeping.links(RAISED) is None
