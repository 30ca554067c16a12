"""Recordings of every kind give their pictures, and what cannot be read is told and left out."""

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tocsin.errors import InputError
from tocsin.footage.pictures import Picture, expected_count, from_rgb, pictures, to_rgb
from tocsin.resources import find

CLIP = find("assets/pedestrians.mp4")
SCENE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def encoded(extension: str, picture: np.ndarray = SCENE) -> bytes:
    done, data = cv2.imencode(extension, picture)
    assert done
    return data.tobytes()


def write(folder: Path, **files: bytes) -> Path:
    """Write files whose names have __ for a slash and _ for a point."""
    for name, data in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def all_of(path: Path, wanted: Callable[[int], bool] | None = None) -> tuple[list[Picture], list[str]]:
    told: list[str] = []
    found = list(
        pictures(path, skipped=told.append) if wanted is None else pictures(path, wanted, told.append)
    )
    return found, told


def transport_stream(path: Path) -> Path:
    """The bundled clip in a container without an index, which can be cut and damaged anywhere."""
    with av.open(str(CLIP)) as source, av.open(str(path), "w", format="mpegts") as target:
        video = source.streams.video[0]
        copy = target.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    return path


def test_a_video() -> None:
    """A video gives each frame with its number and its time from the first."""
    found, told = all_of(CLIP)
    assert [one.index for one in found] == list(range(260))
    assert [one.at for one in found] == pytest.approx([k / 10 for k in range(260)])
    assert {one.name for one in found} == {"pedestrians.mp4"}
    assert (told, expected_count(CLIP)) == ([], 260)


def test_only_what_is_wanted() -> None:
    """Frames that are not wanted are passed by and keep the numbers and times of the others."""
    found, _ = all_of(CLIP, lambda index: index in (0, 100, 259))
    assert [(one.index, round(one.at, 3)) for one in found] == [(0, 0.0), (100, 10.0), (259, 25.9)]


def test_a_video_that_breaks_off(tmp_path: Path) -> None:
    """What there is of a cut file is given, and the damage is told with the frame."""
    whole = transport_stream(tmp_path / "whole.ts").read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole[: len(whole) // 2])
    found, told = all_of(cut)
    assert 100 < len(found) < 160
    assert [sentence.split(" frame ")[0] for sentence in told] == [f"{cut}:"]
    assert "expected a picture, found damaged data" in told[0]


def test_damage_in_the_middle(tmp_path: Path) -> None:
    """Damage costs the frames that it hit; the others come, with rising numbers and the times of their own."""
    data = bytearray(transport_stream(tmp_path / "damaged.ts").read_bytes())
    half = len(data) // 2
    data[half : half + 4000] = np.random.default_rng(1).bytes(4000)
    (tmp_path / "damaged.ts").write_bytes(data)
    found, told = all_of(tmp_path / "damaged.ts")
    assert told
    assert 240 < len(found) < 260
    indices = [one.index for one in found]
    assert indices == sorted(set(indices))
    assert found[-1].at == pytest.approx(25.9)
    assert found[-1].index == len(found) + len(told) - 1
    with pytest.raises(InputError, match="expected a picture, found damaged data"):
        list(pictures(tmp_path / "damaged.ts"))


def test_a_folder(tmp_path: Path) -> None:
    """A folder gives the images in it and below in the order of their names, each a second after the other."""
    write(
        tmp_path,
        b_jpg=encoded(".jpg"),
        a__z_png=encoded(".png"),
        c_JPG=encoded(".jpg"),
        notes_txt=b"no image",
    )
    found, told = all_of(tmp_path)
    assert [(one.index, one.name, one.at) for one in found] == [
        (0, "a/z.png", 0.0),
        (1, "b.jpg", 1.0),
        (2, "c.JPG", 2.0),
    ]
    assert (told, expected_count(tmp_path)) == ([], 3)


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    """Each image that cannot be read is told in a sentence of its own, and keeps its number."""
    whole, png = encoded(".jpg"), encoded(".png")
    write(
        tmp_path,
        a_jpg=whole[: len(whole) // 2],
        b_jpg=b"",
        c_jpg=b"no picture",
        d_png=whole,
        e_webp=png[:100],
    )
    found, told = all_of(tmp_path)
    assert [(one.index, one.name) for one in found] == [
        (3, "d.png")
    ]  # what it is decides, not what it is called
    assert told == [
        f"{tmp_path}/a.jpg: expected a whole image, found a JPEG that breaks off",
        f"{tmp_path}/b.jpg: expected an image, found an empty file",
        f"{tmp_path}/c.jpg: expected an image, found data of another kind or a damaged file",
        f"{tmp_path}/e.webp: expected an image, found data of another kind or a damaged file",
    ]


def test_an_image_that_the_system_does_not_give(tmp_path: Path) -> None:
    """A file that the system does not let be read is told with its reason."""
    write(tmp_path, b_jpg=encoded(".jpg"))
    (tmp_path / "a.jpg").symlink_to("/proc/self/mem")  # a file whose first byte nobody can read
    found, told = all_of(tmp_path)
    assert [one.name for one in found] == ["b.jpg"]
    assert told == [f"{tmp_path}/a.jpg: expected an image, found that it cannot be read: Input/output error"]


def test_one_image(tmp_path: Path) -> None:
    """One image is a recording of one picture."""
    found, _ = all_of(write(tmp_path, a_png=encoded(".png")) / "a.png")
    assert [(one.index, one.name, one.at) for one in found] == [(0, "a.png", 0.0)]
    np.testing.assert_array_equal(found[0].rgb(), SCENE[..., ::-1])


@pytest.mark.parametrize(
    ("files", "name", "sentence"),
    [
        ({}, "nothing.mp4", "expected a video, an image or a folder of images, found nothing there"),
        ({}, "nothing.jpg", "expected an image, found nothing there"),
        (
            {"a_mp4": b"no video"},
            "a.mp4",
            "expected a video, found a file that FFmpeg cannot open: moov atom not found",
        ),
        (
            {"a_mp4": b""},
            "a.mp4",
            "expected a video, found a file that FFmpeg cannot open: moov atom not found",
        ),
        (
            {"a__b_txt": b""},
            "a",
            "expected images (.bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp) in the folder, found none",
        ),
        (
            {"a_jpg": b"no image", "b_jpg": b"nor this"},
            ".",
            "expected images that can be read, found none among 2",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_to_read(tmp_path: Path, files: dict[str, bytes], name: str, sentence: str) -> None:
    """Where there is nothing to be read, the path is named with what was expected and found."""
    path = write(tmp_path, **files) / name
    with pytest.raises(InputError) as caught:
        all_of(path)
    assert str(caught.value) == f"{path}: {sentence}"


def test_sound_without_pictures(tmp_path: Path) -> None:
    """A file with a sound track alone is no video."""
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        track = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    with pytest.raises(InputError, match="expected a video, found a file without a video track"):
        list(pictures(path))


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (480, 854), (720, 1280)])
def test_colours_go_there_and_back(size: tuple[int, int]) -> None:
    """A picture made RGB and a camera's again looks the same, whatever its size: both sides even, colours kept."""
    smooth = cv2.resize(SCENE[:4, :4], size[::-1], interpolation=cv2.INTER_LINEAR)
    first = to_rgb(av.VideoFrame.from_ndarray(smooth, format="rgb24"))
    assert first.shape == (size[0] // 2 * 2, size[1] // 2 * 2, 3)
    again = to_rgb(from_rgb(first))
    assert np.abs(again.astype(int) - first).mean() < 1.5
    if size[0] % 2 == 0:
        assert np.abs(first.astype(int) - smooth).mean() < 4  # a quarter of the colours is left
