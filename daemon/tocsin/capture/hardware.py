"""How FFmpeg is made to decode on a graphics card."""

import av
from av.codec.hwaccel import HWAccel

from tocsin.capture.decoder import Decoder


def acceleration(decoder: Decoder) -> HWAccel | None:
    """Return what FFmpeg needs to decode on a device; None for the CPU, and where the device cannot be had.

    The device is opened on trial, for an error of it while a camera is opened could not be told from the camera's.
    That of VAAPI is missing in PyAV's wheels: it takes a build against a system's FFmpeg. A stream of a codec that
    the device does not know is decoded by software. Pictures are copied into memory, as NV12.
    """
    if decoder is Decoder.CPU:
        return None
    try:
        HWAccel(decoder.value).create(av.Codec("h264", "r"))
    except (av.error.FFmpegError, OSError, RuntimeError, ValueError):
        return None
    return HWAccel(decoder.value)
