"""What decodes a stream: the CPU, or a part of the graphics card where one is asked for and can be had."""

from enum import StrEnum
from pathlib import Path
from typing import Literal

Decode = Literal["auto", "cuda", "vaapi", "cpu"]
"""What may be asked for: the word in the configuration."""


class Decoder(StrEnum):
    """What decodes: the word in metrics, logs and status."""

    CPU = "cpu"
    CUDA = "cuda"
    VAAPI = "vaapi"


def asked(decode: Decode, devices: Path = Path("/dev")) -> Decoder:
    """Return what is to decode: with `auto` NVIDIA's decoder where one of its devices is visible."""
    if decode == "auto":
        return Decoder.CUDA if any(devices.glob("nvidia[0-9]*")) else Decoder.CPU
    return Decoder(decode)
