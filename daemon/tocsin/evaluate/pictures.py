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

IMAGES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""What an image file's name ends with; everything else that is no folder is opened as a video."""

_RATE = 25.0
"""Frames a second of a video that tells neither times nor a rate."""

_JPEG, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a recording.

    `index` is the number of the frame in a video, or the place in the sorted folder, from 0. `name` is the image
    file's path inside the folder, or the video's name. `at` is the time in the recording, in seconds from its
    start, never falling; a folder has no clock: its pictures lie one second apart.
    """

    index: int
    name: str
    at: float
    frame: VideoFrame


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


def to_rgb(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return a picture of any format as RGB, uint8 [h, w, 3], in the colours that capturing takes it to have.

    Both sides are even: a picture of odd size loses a pixel.
    """
    width, height = (max(side - side % 2, 2) for side in (frame.width, frame.height))
    pixels = np.empty((height * 3 // 2, width), np.uint8)
    Shrinker().shrink(frame, pixels)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_I420), np.uint8)


def from_rgb(rgb: NDArray[np.uint8]) -> VideoFrame:
    """Return a picture as a camera's decoder would give it, from uint8 [h, w, 3] with even sides.

    It is planar YUV 4:2:0 so that shrinking takes the same way as with a recorded picture, and differences
    between the two are those of the light alone.
    """
    pixels = np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2YUV_I420), np.uint8)
    frame = VideoFrame.from_ndarray(pixels, format="yuv420p")
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
            frame = _image(file)
        except InputError as error:
            skipped(str(error))
            continue
        read += 1
        yield Picture(index, name, float(index), frame)
    if tried and not read:
        raise InputError(f"{path}: expected images that can be read, found none among {tried}")


def _image(file: Path) -> VideoFrame:
    """Read one image, turned upright where its EXIF data say how. Raises InputError."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"{file}: expected an image, found that it cannot be read: {error.strerror}"
        ) from error
    if not data:
        raise InputError(f"{file}: expected an image, found an empty file")
    if data.startswith(_JPEG) and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        # OpenCV paints the rest of such a picture grey and says nothing
        raise InputError(f"{file}: expected a whole image, found a JPEG that breaks off")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # a picture of more pixels than OpenCV takes
        raise InputError(f"{file}: expected an image, found one that OpenCV refuses: {error.err}") from error
    if bgr is None:
        raise InputError(f"{file}: expected an image, found data of another kind or a damaged file")
    return VideoFrame.from_ndarray(np.asarray(bgr, np.uint8), format="bgr24")


def _open(path: Path) -> InputContainer:
    if not path.exists():
        raise InputError(f"{path}: expected a video, an image or a folder of images, found nothing there")
    try:
        container = av.open(f"file:{path}")
    except PermissionError as error:
        raise InputError(f"{path}: expected a video, found a file that may not be read") from error
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{path}: expected a video, found a file that FFmpeg cannot open") from error
    if not container.streams.video:
        container.close()
        raise InputError(f"{path}: expected a video, found a file without a video track")
    return container


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
