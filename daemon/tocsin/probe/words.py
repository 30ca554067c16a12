"""What was seen through a camera, in words for a person and in keys for a program."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tocsin.capture.decoder import Decoder, asked
from tocsin.capture.order import SourceOrder
from tocsin.errors import SourceError
from tocsin.footage.shown import shown
from tocsin.probe.look import Seen


def place(source: SourceOrder) -> str:
    """Return where a camera is: of an address nothing that may hold a password, so neither user, path nor query."""
    if "://" not in source.location:
        return source.location
    parts = urlsplit(source.location)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def why(error: SourceError, source: SourceOrder) -> str:
    """Return why nothing was seen, with the place; the sentences about files and devices name it themselves."""
    where = place(source)
    return str(error) if where in str(error) else f"{where}: {error}"


def carried(source: SourceOrder, seen: Seen) -> str:
    """Return what really carries the pictures."""
    if "://" not in source.location:
        return "device" if source.location.startswith("/dev/") else "file"
    return {"rtsp": seen.transport, "http": "tcp"}.get(urlsplit(source.location).scheme, "tls")


def instead(source: SourceOrder, seen: Seen) -> str:
    """Say why the pictures are not carried as was asked for, where they are not."""
    return (
        ", since nothing comes by udp" if (carried(source, seen), source.transport) == ("tcp", "udp") else ""
    )


def lines(seen: Seen, source: SourceOrder) -> Iterator[str]:
    """Yield what a person wants to know of a camera, a line for each thing."""
    yield f"source     {place(source)}, by {carried(source, seen)}{instead(source, seen)}"
    yield f"opened     after {seen.opened:.2f} s, first clean frame after {seen.first:.2f} s"
    yield f"picture    {picture(seen)}{decoded(seen, source)}{lenient(seen)}"
    yield f"rate       {rate(seen)}"
    yield f"light      {light(seen)}"


def picture(seen: Seen) -> str:
    """Say how the picture is coded and how large it is."""
    return f"{shown(seen.codec)}, {seen.width}x{seen.height}"


def decoded(seen: Seen, source: SourceOrder) -> str:
    """Say what decodes, where that is not the CPU or should not be."""
    expected = asked(source.decode)
    if seen.decoder is not expected:
        return f", decoded on the CPU: expected {expected}, which cannot be had here"
    return "" if seen.decoder is Decoder.CPU else f", decoded by {seen.decoder}"


def lenient(seen: Seen) -> str:
    """Say what to expect of a camera whose pictures a strict decoder refuses."""
    return "; breaks the standard, so it is seen ten seconds later than others" if seen.lenient else ""


def rate(seen: Seen) -> str:
    """Say how fast pictures come, and keyframes: only with one of them can a stream begin again."""
    if seen.rate is None:
        return "unknown: only one frame came"
    parts = [f"{seen.rate:.1f} frames a second over {seen.watched:.1f} s"]
    if seen.declared:
        parts[0] += f" (the stream says {seen.declared:g})"
    if seen.keyframe_every is None:
        parts.append("no second keyframe in that time")
    elif seen.keyframe_every == 1:
        parts.append("each is a keyframe")
    else:
        parts.append(f"a keyframe every {seen.keyframe_every / seen.rate:.1f} s")
    if seen.damaged:
        parts.append(f"{seen.damaged} damaged")
    return "; ".join(parts)


def light(seen: Seen) -> str:
    """Say how the light is, and what the daemon would do about it and why."""
    found = seen.light
    return (
        f"mean {found.mean:.0f} and contrast {found.contrast:.0f} of 255;"
        f" correction {seen.correction}: {seen.reason}"
    )


def fault_as_json(error: SourceError, source: SourceOrder) -> dict[str, str]:
    """Return why nothing was seen for a program; the words for `fault` are those of the metrics."""
    return {"source": place(source), "fault": error.fault.value, "message": str(error)}


def as_json(seen: Seen, source: SourceOrder) -> dict[str, Any]:
    """Return what was seen for a program; times in seconds, keyframes in frames."""
    return {
        "source": place(source),
        "transport": carried(source, seen),
        "codec": seen.codec,
        "decoder": seen.decoder.value,
        "width": seen.width,
        "height": seen.height,
        "opened_seconds": round(seen.opened, 3),
        "first_frame_seconds": round(seen.first, 3),
        "watched_seconds": round(seen.watched, 3),
        "frames_a_second": None if seen.rate is None else round(seen.rate, 2),
        "declared_frames_a_second": seen.declared,
        "keyframe_every": seen.keyframe_every,
        "damaged": seen.damaged,
        "lenient": seen.lenient,
        "light": {
            "mean": round(seen.light.mean, 1),
            "contrast": round(seen.light.contrast, 1),
            "correction": seen.correction.value,
            "reason": seen.reason.value,
        },
    }
