"""Little data sets of both formats on disk, and what a folder holds in the end."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def picture(number: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """A picture with a slope of light and a block that tells it from others; it has good contrast."""
    slope = np.linspace(10, 245, width)[None, :, None] * np.array([1.0, 0.9, 0.8])
    pixels = np.broadcast_to(slope, (height, width, 3)).astype(np.uint8).copy()
    pixels[4:20, 3 * number % (width - 12) :][:, :12] = (40, 200, 90)
    return pixels


def save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """Write an image file, and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def turned(path: Path, orientation: int) -> Path:
    """Write into a JPEG file how a viewer is to turn it (EXIF), as a telephone does."""
    data = path.read_bytes()
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + orientation.to_bytes(2, "big") + b"\x00\x00"
    tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry + b"\x00\x00\x00\x00"
    body = b"Exif\x00\x00" + tiff
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:])
    return path


def yolo(folder: Path, splits: Mapping[str, int] | None = None, suffix: str = ".jpg") -> Path:
    """Write a data set with so many pictures in each split, one object each; return its data.yaml."""
    for split, count in (splits or {"train": 4, "val": 2}).items():
        for number in range(count):
            save(folder / "images" / split / f"{number:02}{suffix}", picture(number))
            label = folder / "labels" / split / f"{number:02}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(f"{number % 2} 0.5 0.5 0.25 0.{number + 1}\n")
    file = folder / "data.yaml"
    file.write_text(
        "".join(f"{split}: images/{split}\n" for split in splits or ("train", "val"))
        + "names: [knife, gun]\n"
    )
    return file


def coco(folder: Path, count: int = 3, **changed: Any) -> Path:
    """Write a data set with two objects a picture; `changed` replaces keys of the file. Return the file."""
    images = [
        {"id": 100 + number, "file_name": f"{number:02}.png", "width": 64, "height": 48}
        for number in range(count)
    ]
    for number, image in enumerate(images):
        save(folder / "images" / str(image["file_name"]), picture(number))
    annotations = [
        {
            "id": 7 * number + second,
            "image_id": 100 + number,
            "category_id": 3,
            "bbox": [4.0 + second, 4.0, 16.0, 24.0],
            "area": 384.0,
            "iscrowd": 0,
            "segmentation": [[4.0, 4.0, 20.0, 4.0, 20.0, 28.0]],
        }
        for number in range(count)
        for second in range(2)
    ]
    content = {
        "info": {"year": 2026},
        "licenses": [],
        "categories": [{"id": 3, "name": "knife"}],
        "images": images,
        "annotations": annotations,
        **changed,
    }
    file = folder / "labels.json"
    file.write_text(json.dumps(content))
    return file


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def records(folder: Path) -> Sequence[Mapping[str, Any]]:
    """Return what the manifest of an augmented data set says about each picture."""
    lines = (folder / "tocsin-augment.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[1:]]
