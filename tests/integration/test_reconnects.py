"""A camera that is lost again and again costs nothing but the time."""

from support.reconnecting import WAYS, reconnecting, reconnects
from tocsin.errors import SourceFault

ROUNDS = 25


def test_two_hundred_reconnections_leave_nothing_behind() -> None:
    """No descriptor, no thread, and no memory worth a picture each; the bench does it ten thousand times."""
    with reconnecting() as running:
        ((_, before),) = reconnects(running, 5 * len(WAYS), 5 * len(WAYS), lambda *_: None)
        running.ends.clear()
        running.live = 0
        ((_, after),) = reconnects(running, ROUNDS * len(WAYS), ROUNDS * len(WAYS), lambda *_: None)
    assert running.live == 2 * ROUNDS
    assert dict(running.ends) == {
        SourceFault.EOF: 4 * ROUNDS,
        SourceFault.NOT_FOUND: ROUNDS,
        SourceFault.AUTH: ROUNDS,
        SourceFault.REFUSED: ROUNDS,
        SourceFault.HANDSHAKE_TIMEOUT: ROUNDS,
    }
    assert (after.descriptors, after.threads) == (before.descriptors, before.threads)
    assert after.mb - before.mb < 8.0
