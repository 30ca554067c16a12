"""Whatever stands in the file, loading it gives a configuration or faults, and never another error."""

import json
import random
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.mutation import mutated, wrong_about
from tocsin.config.load import loads
from tocsin.errors import ConfigError

KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"  # 24 bytes
REFERENCE = Path(__file__).parents[2] / "config" / "tocsin.yaml"


def faults(content: bytes) -> tuple[str, ...]:
    """The faults of a configuration; none where it loads."""
    try:
        config = loads(content, name="f", folder=Path("/etc/tocsin"))
    except ConfigError as error:
        return error.faults or ("an error without faults",)
    assert config.streams
    return ()


LINES = REFERENCE.read_text().splitlines(keepends=True)
PIECES = [
    *"[]{}:,-#'\"&*!|>%@`?~ \n\t\x00\x1b\ud7ff\U0001f514",
    "<<: *a",
    "- ",
    "null",
    "1e999",
    "0",
    "-1",
    ".inf",
    "x" * 99,
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_the_text_only_configuration_errors_come(data: st.DataObject) -> None:
    """The reference with lines dropped, doubled and moved, and pieces put in anywhere, loads or gives faults."""
    lines = (
        data.draw(st.lists(st.sampled_from(LINES), max_size=25)) if data.draw(st.booleans()) else list(LINES)
    )
    text = "".join(lines)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from([0, 0, 1, 5]))
        text = text[:at] + data.draw(st.sampled_from(PIECES)) + text[at + length :]
    messages = faults(text.encode())
    assert all(message.startswith("f:") and "\n" not in message for message in messages)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_whatever_the_bytes_only_configuration_errors_come(content: bytes) -> None:
    """Bytes of any kind give faults."""
    assert faults(content)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        ["a", "", "5s", "auto", "rtsp://h/", "file:x", "/dev/video0", "https://h/", KEY, "[::1]:0", "alarm.*"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "polygon", "hits", "of", "env", "file", "mode", "listen"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            sorted({"light", "zones", "rules", "views", "loop", "source", "password", "max_fps"})
        ),
        VALUES,
    )
)
def test_whatever_the_values_of_a_stream_only_configuration_errors_come(stream: dict[str, object]) -> None:
    """Values of the wrong kind in the right place give faults in our own words."""
    text = json.dumps({"streams": [{"name": "a", "source": "rtsp://h/", **stream}]})
    messages = faults(text.encode())
    assert all(": expected " in message or "unknown key" in message for message in messages)
    assert "nput should" not in "".join(messages)


def test_files_that_went_wrong_give_faults_in_words_and_show_no_secret() -> None:
    """2,000 files gone wrong end well; `tests/fuzz.py` takes as many as one likes."""
    chance = random.Random(20261121)
    for number in range(2_000):
        content = mutated(chance)
        assert wrong_about(content) is None, f"file {number}:\n{content!r}"
