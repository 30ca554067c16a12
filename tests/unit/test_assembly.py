"""What the parts are made of is what the configuration says."""

from pathlib import Path

from tocsin.assembly import score_floor
from tocsin.config.load import Config, loads

SOUND = (Path(__file__).parents[1] / "data" / "config" / "sound.yaml").read_text()


def read(text: str) -> Config:
    return loads(text.encode(), name="f", folder=Path("/etc/tocsin"))


def test_the_detector_keeps_what_any_rule_needs() -> None:
    """It forgets what scores less than every rule asks for, to raise an alarm or to keep one."""
    assert score_floor(read(SOUND)) == 0.5
    assert score_floor(read(SOUND.replace("zones: [door]", "keep_score: 0.25"))) == 0.25
