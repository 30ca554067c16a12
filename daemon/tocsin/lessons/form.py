"""How a data set is laid out; apart from its writers, so that the command line starts without them."""

from enum import StrEnum


class Form(StrEnum):
    """The words of `--format`."""

    COCO = "coco"
    YOLO = "yolo"
