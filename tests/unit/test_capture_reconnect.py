"""When a broken stream is tried again."""

from itertools import pairwise

import pytest

from tocsin.capture.reconnect import Outage, Reconnect
from tocsin.errors import SourceFault


def _tries(fault: SourceFault, seconds: float, chance: float = 0.5, takes: float = 0.0) -> list[float]:
    """Return the times of the tries of an outage that begins at 0 and never ends; each takes so long."""
    reconnect = Reconnect(lambda: chance)
    now, tries = 0.0, []
    while now < seconds:
        tries.append(now)
        ended = now + takes
        now = ended + reconnect.failed(fault, ended, now)
    return tries


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_a_bad_camera_is_tried_at_most_15_times_in_the_first_minute_and_twice_a_minute_after(
    chance: float,
) -> None:
    """The promise holds at both ends of the jitter, and the camera that is back is seen within 35 seconds."""
    tries = _tries(SourceFault.REFUSED, 600.0, chance)
    assert 12 <= sum(at < 60 for at in tries) <= 15
    later = [at for at in tries if at >= 60]
    assert all(30 - 1e-9 <= after - before <= 33 + 1e-9 for before, after in pairwise(later))


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_a_camera_that_hangs_is_tried_as_often_as_one_that_refuses(chance: float) -> None:
    """One that let a try hang for four seconds, and is well right after, is seen within 35 s all the same."""
    tries = _tries(SourceFault.HANDSHAKE_TIMEOUT, 600.0, chance, takes=4.0)
    assert sum(at < 60 for at in tries) <= 15
    later = [at for at in tries if at >= 60]
    assert all(30 - 1e-9 <= after - before <= 33 + 1e-9 for before, after in pairwise(later))


def test_the_nominal_first_minute_has_15_tries() -> None:
    """Without jitter the schedule is the promised one."""
    assert sum(at < 60 for at in _tries(SourceFault.REFUSED, 60.0, chance=0.0)) == 15


_LOGIN = (SourceFault.AUTH, SourceFault.AUTH_UNSUPPORTED)


@pytest.mark.parametrize("fault", _LOGIN)
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_a_refused_login_is_not_tried_again_for_five_minutes(fault: SourceFault, chance: float) -> None:
    """Cameras lock accounts; the jitter only makes it longer."""
    tries = _tries(fault, 3600.0, chance)
    assert all(300 <= after - before <= 370 for before, after in pairwise(tries))


@pytest.mark.parametrize("fault", [fault for fault in SourceFault if fault not in _LOGIN])
def test_every_other_fault_is_tried_again_within_half_a_minute(fault: SourceFault) -> None:
    """A camera that answers nonsense while it boots is not left alone for long."""
    tries = _tries(fault, 600.0)
    assert max(after - before for before, after in pairwise(tries)) <= 33.0


def test_a_try_that_took_longer_than_its_gap_is_followed_by_a_rest() -> None:
    """A camera that hangs in the first seconds of its outage is not asked without a pause."""
    reconnect = Reconnect(lambda: 0.0)
    reconnect.failed(SourceFault.EOF, 0.0, -60.0)
    assert reconnect.failed(SourceFault.HANDSHAKE_TIMEOUT, 4.5, 0.5) == pytest.approx(0.5)


def test_after_a_refused_password_five_minutes_pass_from_the_answer() -> None:
    """What the answer took is not taken off."""
    reconnect = Reconnect(lambda: 0.0)
    assert reconnect.failed(SourceFault.AUTH, 14.0, 10.0) == pytest.approx(300.0)


def test_a_healthy_stream_that_breaks_is_tried_at_once() -> None:
    """After ten seconds of good frames an outage is a new one."""
    reconnect = Reconnect(lambda: 0.0)
    reconnect.failed(SourceFault.REFUSED, 0.0)
    assert reconnect.failed(SourceFault.REFUSED, 1.0) == pytest.approx(1.1)
    for tenth in range(101):
        reconnect.frame(2.0 + tenth / 10)
    assert reconnect.failed(SourceFault.EOF, 12.1) == pytest.approx(0.5)


def test_a_camera_that_connects_and_resets_at_once_is_not_hammered() -> None:
    """A few frames do not end an outage: the gaps go on growing."""
    reconnect = Reconnect(lambda: 0.5)
    now, tries = 0.0, 0
    while now < 120.0:
        tries += 1
        reconnect.frame(now + 0.05)
        now += 0.1 + reconnect.failed(SourceFault.RESET, now + 0.1)
    assert tries <= 17


def test_another_worker_goes_on_with_the_outage() -> None:
    """A stream that has been down for long is tried seldom by the next worker, too."""
    fresh, told = Reconnect(lambda: 0.0), Reconnect(lambda: 0.0, Outage(since=0.0))
    assert fresh.failed(SourceFault.REFUSED, 100.0) == pytest.approx(0.5)
    assert told.failed(SourceFault.REFUSED, 100.0) == pytest.approx(30.0)


def test_a_worker_that_dies_makes_no_refused_password_good() -> None:
    """Its successor waits as long as it would have; a camera that is gone since is another matter."""
    reconnect = Reconnect(lambda: 0.0)
    reconnect.failed(SourceFault.AUTH, 0.0)
    assert reconnect.failed(SourceFault.WORKER, 1.0) == pytest.approx(300.0)
    assert reconnect.failed(SourceFault.WORKER, 400.0) == pytest.approx(300.0)
    assert reconnect.failed(SourceFault.REFUSED, 800.0) == pytest.approx(30.0)
    assert reconnect.failed(SourceFault.WORKER, 900.0) == pytest.approx(30.0)
