"""What was committed is delivered, however daemon or machine die. The long version is tests/bench/crash.py."""

from pathlib import Path

import pytest

from support.counterpart import need_strace
from support.crash import Storm
from support.powercut import Sync, Write, replay, trace
from support.receiver import Receiver

pytestmark = pytest.mark.acceptance


@pytest.mark.fault(46)
@pytest.mark.timeout(300)
def test_nothing_committed_is_lost_over_kills(block_model: Path, receiver: Receiver, tmp_path: Path) -> None:
    """A daemon that is killed at random moments delivers all that it committed, each again only where it must.

    The receiver goes and comes meanwhile. An event is accepted twice only with a kill or the receiver's going in
    between, with the same body; no more of them than are under way at a time; no alarm's end before its raise.
    """
    storm = Storm(tmp_path, block_model, receiver, seed=1, rules=20)
    verdict = storm.run(kills=4, events=80)
    assert verdict.kills >= 4, "the daemon was killed"
    assert verdict.committed >= 80, "alarms were raised meanwhile"
    assert verdict.is_sound, verdict


@pytest.mark.fault(47)
def test_nothing_committed_is_lost_over_power_cuts(tmp_path: Path) -> None:
    """Whatever of the un-synced writes a power cut leaves, the outbox opens and holds all that it had promised."""
    need_strace()
    ops = trace(tmp_path, events=24)
    outcome = replay(ops, tmp_path / "image", every=6)
    assert outcome.torn > 30, "writes were lost in part"
    assert outcome.promises == 18
    assert (outcome.lost, outcome.damaged) == (0, 0), outcome


def test_power_cuts_find_what_was_never_synced(tmp_path: Path) -> None:
    """The same without the syncs of the log loses events: the replay can tell."""
    need_strace()
    ops = trace(tmp_path, events=8)
    careless = [op for op in ops if not (isinstance(op, Sync) and op.name and op.name.endswith("-wal"))]
    assert len(careless) < len(ops)
    assert sum(isinstance(op, Write) for op in careless) > 50
    assert replay(careless, tmp_path / "image", every=8).lost > 0
