"""The pictures of a recording, one after another: a video, one image file or a folder of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tocsin.capture.shrink import Shrinker
from tocsin.errors import InputError
from tocsin.image import decode, to_i420

IMAGES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""What an image file's name ends with; everything else that is no folder is opened as a video."""

_RATE = 25.0
"""Frames a second of a video that tells neither times nor a rate."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a recording.

    `index` is the number of the frame in a video, or the place in the sorted folder, from 0. `name` is the image
    file's path inside the folder, or the video's name. `at` is the time in the recording, in seconds from its
    start, never falling; a folder has no clock: its pictures lie one second apart. `frame` is what a camera's
    decoder would give; `stored`, uint8 [h, w, 3], is what an image file holds, None for a video.
    """

    index: int
    name: str
    at: float
    frame: VideoFrame
    stored: NDArray[np.uint8] | None = None

    def rgb(self) -> NDArray[np.uint8]:
        """Return its colours as uint8 [h, w, 3]: of an image those that it holds, none of them lost."""
        return to_rgb(self.frame) if self.stored is None else self.stored


def every(index: int) -> bool:  # noqa: ARG001 - whichever it is
    """Want each picture."""
    return True


def refuse(sentence: str) -> None:
    """Take a picture that cannot be read as the end: raise InputError."""
    raise InputError(sentence)


def pictures(
    path: Path, wanted: Callable[[int], bool] = every, skipped: Callable[[str], None] = refuse
) -> Iterator[Picture]:
    """Yield the pictures whose index is `wanted`, in order.

    A folder is searched with all folders in it; files whose names are not those of images are left alone. What
    cannot be read is told to `skipped` in one sentence, keeps its number and is left out. Raises InputError where
    there is nothing to be read at all.
    """
    if path.is_dir() or path.suffix.lower() in IMAGES:
        yield from _files(image_files(path), path, wanted, skipped)
    else:
        yield from _video(path, wanted, skipped)


def image_files(path: Path) -> list[tuple[str, Path]]:
    """Return the name and the path of each image in a folder, sorted by name, or those of one image file.

    Raises InputError where there is none.
    """
    if not path.is_dir():
        if not path.is_file():
            raise InputError(f"{path}: expected an image, found nothing there")
        return [(path.name, path)]
    found = [file for file in path.rglob("*") if file.suffix.lower() in IMAGES and file.is_file()]
    if not found:
        raise InputError(f"{path}: expected images ({', '.join(sorted(IMAGES))}) in the folder, found none")
    return sorted((file.relative_to(path).as_posix(), file) for file in found)


def expected_count(path: Path) -> int | None:
    """Return how many pictures there probably are, to show progress by; None where only reading would tell."""
    if path.is_dir() or path.suffix.lower() in IMAGES:
        return len(image_files(path))
    with _open(path) as container:
        return container.streams.video[0].frames or None


def expected_seconds(path: Path) -> float | None:
    """Return how long a video is by its header; None where only reading would tell."""
    if path.is_dir() or path.suffix.lower() in IMAGES:
        return None
    with _open(path) as container:
        stream = container.streams.video[0]
        if stream.duration is None or stream.time_base is None:
            return None
        return float(stream.duration * stream.time_base)


def to_rgb(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return a picture of any format as RGB, uint8 [h, w, 3], in the colours that capturing takes it to have.

    Both sides are even: a picture of odd size loses a pixel.
    """
    width, height = (max(side - side % 2, 2) for side in (frame.width, frame.height))
    pixels = np.empty((height * 3 // 2, width), np.uint8)
    Shrinker().shrink(frame, pixels)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_I420), np.uint8)


def from_rgb(rgb: NDArray[np.uint8]) -> VideoFrame:
    """Return a picture, uint8 [h, w, 3], as a camera's decoder would give it: planar YUV 4:2:0.

    Shrinking then takes the same way with every picture, recorded, stored or simulated, and differences between
    them are those of the light alone.
    """
    return from_i420(to_i420(rgb), rgb.shape[1], rgb.shape[0])


def from_i420(pixels: NDArray[np.uint8], width: int, height: int) -> VideoFrame:
    """Return I420 (BT.601, 16 to 235) as a frame of this size, without what an odd side had grown by."""
    frame = VideoFrame(width, height, "yuv420p")
    rows, columns = pixels.shape[0] * 2 // 3, pixels.shape[1]
    flat, luma = pixels.reshape(-1), rows * columns
    sources = (
        flat[:luma].reshape(rows, columns)[:height, :width],
        flat[luma : luma * 5 // 4].reshape(rows // 2, columns // 2),
        flat[luma * 5 // 4 :].reshape(rows // 2, columns // 2),
    )
    for plane, source in zip(frame.planes, sources, strict=True):
        lines = np.asarray(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        lines[: plane.height, : plane.width] = source
    frame.colorspace, frame.color_range = Colorspace.ITU601, ColorRange.MPEG
    return frame


def _files(
    files: Sequence[tuple[str, Path]],
    path: Path,
    wanted: Callable[[int], bool],
    skipped: Callable[[str], None],
) -> Iterator[Picture]:
    tried = read = 0
    for index, (name, file) in enumerate(files):
        if not wanted(index):
            continue
        tried += 1
        try:
            rgb = _image(file)
        except InputError as error:
            skipped(str(error))
            continue
        read += 1
        yield Picture(index, name, float(index), from_rgb(rgb), rgb)
    if tried and not read:
        raise InputError(f"{path}: expected images that can be read, found none among {tried}")


def _image(file: Path) -> NDArray[np.uint8]:
    """Read one image as RGB, uint8 [h, w, 3], turned upright where its EXIF data say how. Raises InputError."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"{file}: expected an image, found that it cannot be read: {error.strerror}"
        ) from error
    try:
        bgr = decode(data)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _open(path: Path) -> InputContainer:
    if not path.exists():
        raise InputError(f"{path}: expected a video, an image or a folder of images, found nothing there")
    av.logging.set_level(av.logging.ERROR)  # or what it logs, which tells more, cannot be caught
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as logged:
            container = av.open(f"file:{path}")
    except PermissionError as error:
        raise InputError(f"{path}: expected a video, found a file that may not be read") from error
    except (av.error.FFmpegError, OSError) as error:
        why = _reason(error, [words for _, _, words in logged])
        raise InputError(f"{path}: expected a video, found a file that FFmpeg cannot open: {why}") from error
    finally:
        av.logging.set_level(None)
    if not container.streams.video:
        container.close()
        raise InputError(f"{path}: expected a video, found a file without a video track")
    return container


def _reason(error: Exception, logged: Sequence[str]) -> str:
    """Return why FFmpeg failed: what it logged first that names no file, or else its error."""
    said = [" ".join(words.split()).rstrip(".") for words in logged]
    plain = [words for words in said if words and "/" not in words]
    return plain[0] if plain else getattr(error, "strerror", None) or "an unknown fault"


def _video(path: Path, wanted: Callable[[int], bool], skipped: Callable[[str], None]) -> Iterator[Picture]:
    with _open(path) as container:
        stream = container.streams.video[0]
        # as capturing does: what is damaged is an error and not a guess
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"err_detect": "explode"}
        period = 1.0 / float(stream.average_rate or _RATE)
        index, zero, at = -1, None, 0.0
        read = 0
        for index, frame in enumerate(_decoded(container, stream, path, skipped)):
            if frame is None:
                continue
            read += 1
            shown = index * period if frame.time is None else frame.time
            zero = shown if zero is None else zero
            at = max(at, shown - zero)
            if wanted(index):
                yield Picture(index, path.name, at, frame)
    if not read:
        raise InputError(f"{path}: expected a video with pictures, found none that can be decoded")


def _decoded(
    container: InputContainer, stream: VideoStream, path: Path, skipped: Callable[[str], None]
) -> Iterator[VideoFrame | None]:
    """Yield each frame, and None for each that cannot be decoded, so that the others keep their numbers."""
    packets = container.demux(stream)
    number = 0
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError):
            skipped(f"{path}: expected more after frame {number - 1}, found that the file breaks off")
            return
        if packet is None:
            return
        frames: Sequence[VideoFrame | None]
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, OSError):
            skipped(f"{path}: frame {number}: expected a picture, found damaged data")
            frames = [None]
        number += len(frames)
        yield from frames
