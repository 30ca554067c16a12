"""Which pictures go along with an event, when it goes without them, and how they stand in its body."""

import json
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.forms import fields
from tocsin.deliver.attach import (
    CHOKED,
    ORDER,
    Attach,
    Attached,
    Part,
    Picture,
    Way,
    choose,
    composed,
    goes_bare,
    kinds_of,
    nothing,
    with_base64,
)
from tocsin.deliver.schedule import Outcome

SIZES = {"frame": 600, "crop": 90, "first": 300, "corrected": 120}
MADE = ("frame", "corrected", "crop", "first")


def read(alarm_id: str, kind: str, most: int) -> Picture | None:
    """What is kept of an alarm; nothing larger than what is asked for."""
    assert alarm_id == "alarm_1"
    size = SIZES[kind]
    return None if size > most else Picture(kind, f"{kind}.jpg", "image/jpeg", bytes(size))


@pytest.mark.parametrize(
    ("way", "most", "kinds"),
    [
        pytest.param(Way.MULTIPART, 1110, ["crop", "frame", "first", "corrected"], id="all of it fits"),
        pytest.param(Way.MULTIPART, 700, ["crop", "frame"], id="what a person needs first"),
        pytest.param(Way.MULTIPART, 689, ["crop", "first", "corrected"], id="what is too large leaves room"),
        pytest.param(Way.MULTIPART, 89, [], id="nothing fits"),
        pytest.param(Way.BASE64, 920, ["crop", "frame"], id="in base64 three bytes are four"),
        pytest.param(Way.BASE64, 919, ["crop", "first", "corrected"], id="and that counts"),
    ],
)
def test_what_fits_goes_along_and_the_rest_is_named(way: Way, most: int, kinds: list[str]) -> None:
    """The crop first, then the frame, then the rest; together no more than may be sent."""
    attached = choose(read, Attach(way, most), "alarm_1", MADE)
    assert [one.kind for one in attached.pictures] == kinds
    assert attached.left_out == tuple(kind for kind in ORDER if kind in MADE and kind not in kinds)


def test_what_is_gone_or_was_never_made_is_left_out() -> None:
    """Only what the event names is looked for, and of that what the webhook has a place for."""
    gone = choose(lambda *_: None, Attach(Way.BASE64, 5000), "alarm_1", MADE)
    assert gone == Attached((), ("crop", "frame", "first", "corrected"))
    named = Attach(Way.MULTIPART, 5000, ("frame", "clip"))
    assert [one.kind for one in choose(read, named, "alarm_1", MADE).pictures] == ["frame"]
    assert nothing(named, MADE) == Attached((), ("frame",))


def test_a_refusal_and_every_third_failure_to_take_it_go_without() -> None:
    """What was refused is never sent with pictures again; what merely failed is, but for every third attempt."""
    assert all(goes_bare(attempts, refused=True, choked=False) for attempts in range(1, 7))
    assert not any(goes_bare(attempts, refused=False, choked=False) for attempts in range(7))
    bare = [goes_bare(attempts, refused=False, choked=True) for attempts in range(1, 7)]
    assert bare == [False, True, False, False, True, False]
    assert {Outcome.THROTTLED, Outcome.DENIED, Outcome.TLS}.isdisjoint(CHOKED)


def test_base64_stands_in_the_data_of_the_body() -> None:
    """Beside what was committed, and the same bytes each time."""
    body = json.dumps({"type": "evidence.made", "data": {"alarm_id": "alarm_1", "kinds": ["crop"]}}).encode()
    attached = Attached((Picture("crop", "crop.jpg", "image/jpeg", b"\xff\xd8\x00"),), ("frame",))
    told = json.loads(with_base64(body, attached))
    (one,) = told["data"].pop("attached")
    assert told["data"] == {"alarm_id": "alarm_1", "kinds": ["crop"], "left_out": ["frame"]}
    assert (one["kind"], one["type"], b64decode(one["base64"])) == ("crop", "image/jpeg", b"\xff\xd8\x00")
    assert with_base64(body, attached) == with_base64(body, attached)
    assert kinds_of(body) == ("crop",)
    assert kinds_of(b'{"data": {}}') == ()


@given(
    st.dictionaries(
        st.text(st.characters(codec="ascii", exclude_characters='"\\%'), min_size=1), st.binary()
    ),
    st.binary(),
)
def test_a_form_is_read_back_as_it_was(texts: dict[str, bytes], picture: bytes) -> None:
    """Whatever stands in a text or a picture, an independent parser finds it; twice the same bytes."""
    names = {"".join(c if c.isprintable() else "_" for c in name): text for name, text in texts.items()}
    parts = [Part(f"x{name}", text) for name, text in names.items()]
    parts.append(Part("crop", picture, "crop.jpg", "image/jpeg"))
    kind, body = composed("msg_1", parts)
    found = fields(body, kind)
    assert {name: one.content for name, one in found.items()} == {one.field: one.content for one in parts}
    assert (found["crop"].file, found["crop"].media_type) == ("crop.jpg", "image/jpeg")
    assert composed("msg_1", parts) == (kind, body)
    assert composed("msg_2", parts)[0] != kind


def test_a_name_cannot_break_out_of_its_field() -> None:
    """Quotes and line breaks in the name of a field stay in the name, as browsers write them."""
    _, body = composed("msg_1", [Part('a"\r\nx: y', b"text")])
    assert b'name="a%22%0D%0Ax: y"\r\n\r\ntext\r\n' in body
