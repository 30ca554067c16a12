"""What a configuration means once it is loaded: sources, addresses, paths, warnings and secrets."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tocsin.config.load import (
    Config,
    digest,
    http_settings,
    load,
    loads,
    place,
    placed,
    resolve_secrets,
    warnings,
    webhook_secrets,
)
from tocsin.errors import ConfigError, InputError, SecretError, StartError
from tocsin.fields import Secret

KEY = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"  # 24 bytes
SOUND = (Path(__file__).parents[1] / "data" / "config" / "sound.yaml").read_text()
HERE = Path("/etc/tocsin")


def read(text: str) -> Config:
    return loads(text.encode(), name="f", folder=HERE)


def test_the_sound_one_is_sound() -> None:
    """What the tests below change is right as it stands."""
    config = read(SOUND)
    assert config.streams[0].zones[0].polygon == ((0, 0), (1, 0), (1, 1))
    assert config.rules[0].confirm.within == 3.0


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://camera/",
        "rtsps://camera:322/live?channel=1",
        "http://[fd00::7]:8080/mjpg",
        "https://camera.example/",
        "/dev/video0",
        "/dev/v4l/by-id/usb-camera-index0",
    ],
)
def test_sources(source: str) -> None:
    """Each kind of source is taken as it is written."""
    text = SOUND.replace("rtsp://10.0.0.7/stream1", f'"{source}"')
    assert read(text).streams[0].source == source


@pytest.mark.parametrize(
    "source",
    [
        "camera",
        "",
        "rtsp://",
        "rtsp:///stream",
        "rtsp://[::1/",
        "rtsp://camera/#1",
        "rtsp://came ra/",
        "file:",
        "file://clip.mp4",
        "/dev/video",
        "/dev/sda",
        "/dev/v4l/by-id/../../sda",
        "javascript:x",
        "rtsp+tcp://camera/",
        "rtmp://camera/live",
        "concat:rtsp://camera/a|/etc/passwd",
        "hls+http://camera/a.m3u8",
        "tcp://camera:554",
        "data:,x",
    ],
)
def test_no_sources(source: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ConfigError, match=r"^f:4: streams\[0\]\.source: expected rtsp://, [^\n]*$"):
        read(SOUND.replace("rtsp://10.0.0.7/stream1", f'"{source}"'))


@pytest.mark.parametrize("path", ["clip.mp4", "/srv/clip.mkv", "../a.b/clip.avi", "~/clip.mp4"])
def test_a_path_is_told_how_a_file_is_written(path: str) -> None:
    """Every other program takes it as it is."""
    with pytest.raises(
        ConfigError, match=f"source: expected file: before the path of a video file, found {path}$"
    ):
        read(SOUND.replace("rtsp://10.0.0.7/stream1", f'"{path}"'))


@pytest.mark.parametrize(("port", "shown"), [("0", "0"), ("port", "***"), ("99999", "99999")])
@pytest.mark.parametrize("scheme", ["rtsp", "https"])
def test_a_wrong_port_is_called_one(scheme: str, port: str, shown: str) -> None:
    """An address whose port alone is wrong is told so; what is no number may be a password."""
    expected = "a port from 1 to 65535 in the address"
    with pytest.raises(ConfigError) as error:
        read(SOUND.replace("rtsp://10.0.0.7/stream1", f'"{scheme}://camera:{port}/x"'))
    assert error.value.faults == (
        f"f:4: streams[0].source: expected {expected}, found {scheme}://camera:{shown}/...",
    )


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [
        ("127.0.0.1:9464", "127.0.0.1", 9464),
        ("[::1]:0", "::1", 0),
        ("localhost:80", "localhost", 80),
        ("127.8.0.1:65535", "127.8.0.1", 65535),
    ],
)
def test_listening_on_loopback(listen: str, host: str, port: int) -> None:
    """A loopback address of either family, and a free port, need no leave."""
    http = read(SOUND.replace("127.0.0.1:9464", listen)).http
    assert (http.host, http.port) == (host, port)


@pytest.mark.parametrize(
    "listen", ["example:80", "127.0.0.1", "127.0.0.1:65536", "::1:80", "127.1:80", ":80", "[]:80"]
)
def test_no_place_to_listen(listen: str) -> None:
    """Names, half addresses and impossible ports are refused."""
    with pytest.raises(ConfigError, match=r"^f:18: http\.listen: expected [^\n]*$"):
        read(SOUND.replace("127.0.0.1:9464", listen))


def test_listening_to_everybody_needs_leave() -> None:
    """With insecure: true, and only with it, the endpoint leaves loopback."""
    text = SOUND.replace(
        '"127.0.0.1:9464"', '"[::]:80", insecure: true, allowed_hosts: [tocsin.example, 10.0.0.2]'
    )
    assert read(text).http.host == "::"


def test_a_link_s_own_name_is_answered() -> None:
    """Whoever follows a link to `public_url` asks for its host, without its port and brackets."""
    text = SOUND.replace(
        '"127.0.0.1:9464"', '"127.0.0.1:9464", allowed_hosts: [a.example], public_url: "URL"'
    )
    for url, name in (("https://Cams.example:8443/", "cams.example"), ("http://[fd00::1]:9464", "fd00::1")):
        http = read(text.replace("URL", url)).http
        assert http.names == ("a.example", name)
        assert http.public_url == url.rstrip("/")
    for url in ("https://cams.example/tocsin", "https://a:b@cams.example", "ftp://cams.example", "https://"):
        with pytest.raises(ConfigError, match=r"http\.public_url: expected http:// or https:// and a host"):
            read(text.replace("URL", url))


@pytest.mark.parametrize(
    ("url", "sound"),
    [
        ("http://127.0.0.1:8080/", True),
        ("http://127.9.9.9/", True),
        ("http://[::1]/", True),
        ("http://localhost/", True),
        ("http://127.1/", False),
        ("http://2130706433/", False),
        ("http://localhost.example/", False),
        ("http://10.0.0.1/", False),
    ],
)
def test_plain_http_only_to_a_literal_loopback(url: str, sound: bool) -> None:
    """What merely might be this machine is another one."""
    text = SOUND.replace("https://alarms.example/hook", url)
    if sound:
        assert read(text).webhooks[0].url == url
    else:
        with pytest.raises(ConfigError, match="found http to another machine"):
            read(text)
        assert (
            read(text.replace("{env: ROOM}", "{env: ROOM}\n    allow_insecure: true")).webhooks[0].url == url
        )


@pytest.mark.parametrize(("max_fps", "hits", "milliseconds"), [("10", 10, 900), ("0.7", 22, 30_000)])
def test_a_rule_that_just_fits_is_not_deaf(max_fps: str, hits: int, milliseconds: int) -> None:
    """The hits fit into the very time that they take, whatever the rounding, and not into less."""
    text = SOUND.replace("max_fps: 5", f"max_fps: {max_fps}").replace(
        "hits: 5, of: 10", f"hits: {hits}, of: 99"
    )
    assert read(text.replace("within: 3s", f"within: {milliseconds}ms"))
    with pytest.raises(ConfigError, match="found that they take"):
        read(text.replace("within: 3s", f"within: {milliseconds - 1}ms"))


@pytest.mark.parametrize(
    ("login", "user", "password"),
    [
        pytest.param("viewer:p%40ss", "viewer", "p@ss", id="encoded"),
        pytest.param("viewer:p@ss", "viewer", "p@ss", id="an @ as it is"),
        pytest.param("viewer:a:b", "viewer", "a:b", id="a colon as it is"),
        pytest.param("viewer:100%", "viewer", "100%", id="a percent sign that encodes nothing"),
        pytest.param("viewer:%2Fpw%3F%23", "viewer", "/pw?#", id="what would end it, encoded"),
        pytest.param("wörter:pü", "wörter", "pü", id="other letters"),
        pytest.param("w%C3%B6rter:p%C3%BC", "wörter", "pü", id="other letters, encoded"),
    ],
)
def test_a_login_in_the_address_may_be_written_in_many_ways(login: str, user: str, password: str) -> None:
    """Encoded or not, wherever it is plain where it ends."""
    stream = read(SOUND.replace("rtsp://10.0.0.7/stream1", f'"rtsp://{login}@camera/a@b"')).streams[0]
    assert (stream.source, stream.username) == ("rtsp://camera/a@b", user)
    assert stream.password == Secret("inline", password)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("rtsp://viewer:hush/hush@camera/a", "%2F"),
        ("rtsp://viewer:hush?hush@camera/a", "%3F"),
        ("rtsp://viewer:hush#hush@camera:554/a", "%23"),
        ("rtsp://viewer:p@hush/hush@camera/a", "%40"),
        ("rtsp://:hush@camera/a", "expected a user before the password in the address, found none"),
        ("rtsp://viewer:hush%FF@camera/a", "in percent-encoded UTF-8 in the address, found others"),
    ],
)
def test_a_login_that_may_end_anywhere_is_refused_and_not_shown(address: str, expected: str) -> None:
    """The sentence says how to write it, and no part of it stands for a host or a port."""
    with pytest.raises(ConfigError) as error:
        read(SOUND.replace("rtsp://10.0.0.7/stream1", f'"{address}"'))
    (fault,) = error.value.faults
    assert fault.startswith("f:4: streams[0].source: expected ")
    assert expected in fault
    assert "hush" not in fault


def test_a_user_in_the_address_moves_to_its_keys() -> None:
    """The address keeps no user, percent signs are decoded, and a warning says where it belongs."""
    config = read(
        SOUND.replace("rtsp://10.0.0.7/stream1", "rtsp://us%40er:hunter%2F2@10.0.0.7/stream1?a=b@c")
    )
    stream = config.streams[0]
    assert (stream.source, stream.username) == ("rtsp://10.0.0.7/stream1?a=b@c", "us@er")
    assert stream.password == Secret("inline", "hunter/2")
    assert "hunter" not in repr(config)
    sentence = "works, but username and password are clearer as keys of their own than in the address"
    assert warnings(config) == [f"f:4: streams[0].source: {sentence}"]


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    """Clips, models, certificates, secrets and the state lie where the file says, seen from its folder."""
    file = tmp_path / "c.yaml"
    file.write_text(
        "detector: {model: own.onnx}\n"
        "streams:\n"
        "  - {name: a, source: 'file:clip.mp4'}\n"
        "  - {name: b, source: 'file:/clip.mp4'}\n"
        "  - {name: c, source: 'rtsps://h/', ca_file: ca.pem, username: u, password: {file: secret}}\n"
        "state_dir: state\n"
    )
    config = load(file)
    assert config.detector.model == f"{tmp_path}/own.onnx"
    assert [stream.source for stream in config.streams[:2]] == [f"file:{tmp_path}/clip.mp4", "file:/clip.mp4"]
    assert config.streams[2].ca_file == f"{tmp_path}/ca.pem"
    assert config.streams[2].password == Secret("file", f"{tmp_path}/secret")
    assert config.state_dir == f"{tmp_path}/state"


def test_the_name_of_a_model_is_no_path() -> None:
    """A plain name stays one; it is looked up in the manifest."""
    assert read(SOUND).detector.model == "nanodet-coco-416"


@pytest.mark.parametrize(
    ("make", "found"),
    [
        pytest.param(Path.absolute, "no such file or directory", id="missing"),
        pytest.param(Path.mkdir, "is a directory", id="a folder"),
        pytest.param(
            lambda path: path.symlink_to(path), "too many levels of symbolic links", id="unreadable"
        ),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, make: Callable[[Path], object], found: str) -> None:
    """What is no readable file gives one sentence that names it."""
    path = tmp_path / "c.yaml"
    make(path)
    with pytest.raises(ConfigError) as error:
        load(path)
    assert error.value.faults == (f"{path}: expected a readable file, found: {found}",)


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    """It is taken from the very bytes that were loaded."""
    file = tmp_path / "c.yaml"
    file.write_text(SOUND)
    config = load(file)
    assert config.digest == f"sha256:{hashlib.sha256(SOUND.encode()).hexdigest()}"
    assert digest(file) == digest(SOUND.encode()) == config.digest
    file.write_text("changed")
    assert config.digest != digest(file)


def test_what_is_unwise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets in the file, idle rules and streams, and what only the service can check give warnings with lines."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    text = f"""\
streams:
  - {{name: a, source: 'rtsp://h/', username: u, password: hunter2}}
  - {{name: b, source: 'rtsp://h/', username: u, password: {{credential: door}}}}
rules:
  - {{name: r, classes: [person]}}
webhooks:
  - {{name: w, url: 'https://h/', secret: {KEY}}}
"""
    unnamed = "CREDENTIALS_DIRECTORY names no folder that holds it"
    inline = "works, but {credential: NAME}, {env: NAME} or {file: PATH} keeps the secret out of this file"
    assert warnings(read(text)) == [
        "f:2: streams[0]: stream a has no rules and raises no alarm",
        f"f:2: streams[0].password: {inline}",
        "f:3: streams[1]: stream b has no rules and raises no alarm",
        f"f:3: streams[1].password: credential door is not checked: {unnamed}",
        "f:5: rules[0]: no stream uses rule r",
        f"f:7: webhooks[0].secret: {inline}",
    ]
    assert warnings(read("streams: [{name: a, source: /dev/video0}]"))[0] == (
        "f:1: webhooks: no webhook is configured, so alarms reach nobody"
    )


def test_a_sound_configuration_gives_no_warning() -> None:
    """Nothing is said where nothing is to be said."""
    assert warnings(read(SOUND)) == []


def test_a_configuration_built_in_code_has_no_lines() -> None:
    """Warnings name the key alone, and the digest is that of the values."""
    config = Config.model_validate({"streams": ({"name": "a", "source": "/dev/video0"},)})
    assert warnings(config)[0] == "streams[0]: stream a has no rules and raises no alarm"
    assert config.digest.startswith("sha256:")


SECRETS = """\
streams:
  - {name: a, source: 'rtsp://h/', username: u, password: {env: DOOR}}
  - {name: b, source: 'rtsp://h/'}
  - {name: c, source: 'rtsp://h/', username: u, password: {credential: gate}}
webhooks:
  - {name: w, url: 'https://h/', secret: {env: ROOM}}
"""


def test_secrets_are_resolved_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Passwords come by stream, keys by webhook, and what is printed shows neither."""
    monkeypatch.setenv("DOOR", "hunter2")
    monkeypatch.setenv("ROOM", KEY)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "gate").write_text("hunter3\n")
    secrets = resolve_secrets(read(SECRETS))
    assert secrets.passwords == {"a": "hunter2", "c": "hunter3"}
    assert secrets.signing_keys == {"w": KEY}
    assert "hunter" not in repr(secrets)
    assert KEY not in repr(secrets)


def test_every_secret_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gets a message with its line; a credential is one of them."""
    monkeypatch.delenv("DOOR", raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("ROOM", "whsec_aHVudGVyMg==")
    config = read(SECRETS)
    with pytest.raises(SecretError) as error:
        resolve_secrets(config)
    door, gate, room = error.value.faults
    assert door.startswith("f:2: streams[0].password: expected the environment variable DOOR")
    assert gate.startswith("f:4: streams[2].password: expected the credential gate from the service manager")
    assert room == "f:6: webhooks[0].secret: expected whsec_ and base64 of 24 to 64 bytes, found 7 bytes"


def test_one_signing_key_is_had_without_the_other_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook's key is given though a camera's password cannot be had; what it lacks is told with its place."""
    monkeypatch.delenv("DOOR", raising=False)
    monkeypatch.setenv("ROOM", KEY)
    config = read(SECRETS)
    assert webhook_secrets(config, "w").texts() == [KEY]
    monkeypatch.delenv("ROOM")
    with pytest.raises(SecretError) as error:
        webhook_secrets(config, "w")
    assert error.value.faults == (
        "f:6: webhooks[0].secret: expected the environment variable ROOM to hold the secret, found none",
    )
    with pytest.raises(InputError, match=r"^f:5: webhooks: expected one of the webhooks \(w\), found x$"):
        webhook_secrets(config, "x")


def test_a_sentence_gets_its_place() -> None:
    """File, line and key stand in front, the key once; a configuration without a file has keys only."""
    config = read(SOUND)
    assert (
        place(config, ("http", "listen"), "expected a free one") == "f:18: http.listen: expected a free one"
    )
    assert place(config, ("http", "listen"), "http.listen: expected x") == "f:18: http.listen: expected x"
    assert place(config, ("state_dir",), "expected x") == "f:1: state_dir: expected x"
    built = Config.model_validate({"streams": ({"name": "a", "source": "/dev/video0"},)})
    assert place(built, ("state_dir",), "expected x") == "state_dir: expected x"


@pytest.mark.parametrize(
    ("listen", "sentence"),
    [
        ("foo", "expected HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464, found foo"),
        ("127.0.0.1:abc", "expected HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464, found 127.0.0.1:abc"),
        ("127.0.0.1:99999", "expected a port from 0 to 65535, found 99999"),
        ("tocsin.example:80", "expected an IP address or localhost, and a port, found tocsin.example:80"),
        ("0.0.0.0:9464", "expected a loopback address, found 0.0.0.0"),
        ("[::]:9464", "expected a loopback address, found ::"),
    ],
)
def test_an_address_of_the_command_line_is_judged_in_one_sentence(listen: str, sentence: str) -> None:
    """What the configuration would refuse, the option refuses, in words that know no file."""
    with pytest.raises(ConfigError) as error:
        http_settings(listen)
    assert error.value.faults == (f"--listen: {sentence}",)


def test_an_address_of_the_command_line_is_taken() -> None:
    """A loopback address gives the settings of the endpoint."""
    assert (http_settings("[::1]:0").host, http_settings("127.0.0.1:9464").port) == ("::1", 9464)


def test_errors_of_one_kind_get_their_place() -> None:
    """The sentence of such an error is preceded by its place; other errors pass as they are."""
    config = read(SOUND)
    with pytest.raises(StartError) as error, placed(config, ("http", "listen"), StartError):
        raise StartError("http.listen: expected x")
    assert str(error.value) == "f:18: http.listen: expected x"
    other = ConfigError("a", "b")
    with pytest.raises(ConfigError) as same, placed(config, ("http", "listen"), StartError):
        raise other
    assert same.value is other
    secret = SecretError("a", "b")
    with pytest.raises(SecretError) as closer, placed(config, ("http", "listen"), ConfigError):
        raise secret
    assert closer.value is secret


def _viewed(views: str) -> str:
    return SOUND.replace("    max_fps: 5\n", f"    max_fps: 5\n    views: {views}\n")


@pytest.mark.parametrize(
    ("views", "tiles"),
    [
        pytest.param("full", None, id="the whole frame"),
        pytest.param("zones", None, id="zones"),
        pytest.param("tiles", (2, 3, 0.2), id="tiles as they come"),
        pytest.param("{tiles: {rows: 4}}", (4, 3, 0.2), id="some of what tiles can be told"),
        pytest.param("{tiles: {rows: 1, columns: 2, overlap: 0.5}}", (1, 2, 0.5), id="all of it"),
    ],
)
def test_views(views: str, tiles: tuple[int, int, float] | None) -> None:
    """A word, or tiles with their numbers."""
    found = read(_viewed(views)).streams[0].tiles
    assert (found and (found.rows, found.columns, found.overlap)) == tiles


@pytest.mark.parametrize(
    ("views", "sentence"),
    [
        ("tile", "views: expected full, zones or tiles, found tile (did you mean tiles?)"),
        ("3", "views: expected full, zones or tiles, found 3"),
        ("[tiles]", "views: expected full, zones or tiles, found a list"),
        ("{tiles: {rows: 9}}", "views.tiles.rows: expected a number of 8 or less, found 9"),
        ("{tiles: {overlap: 0}}", "views.tiles.overlap: expected a number of 0.05 or more, found 0"),
        ("{tiles: {row: 3}}", "views.tiles.row: unknown key (did you mean rows?)"),
        (
            "{tiles: {rows: 1, columns: 1}}",
            "views.tiles: expected two tiles or more, found one, which is the whole frame",
        ),
    ],
)
def test_views_that_are_none(views: str, sentence: str) -> None:
    """One sentence for each fault, and none about the other way in which it could have been written."""
    with pytest.raises(ConfigError) as error:
        read(_viewed(views))
    assert error.value.faults == (f"f:6: streams[0].{sentence}",)


def test_views_of_zones_need_zones_that_count() -> None:
    """Zones that no rule of the stream names are nothing to look at; other faults are told instead."""
    complaint = "views: expected a zone that one of this stream's rules names, found none to view"
    text = _viewed("zones")
    for old, new in (("zones: [door]", "zones: []"), ("rules: [intruder]", "rules: []")):
        with pytest.raises(ConfigError) as error:
            read(text.replace(old, new))
        assert error.value.faults == (f"f:6: streams[0].{complaint}",)
    with pytest.raises(ConfigError) as error:
        read(text.replace("rules: [intruder]", "rules: [intrudor]"))
    assert "intrudor" in error.value.faults[0]
    assert len(error.value.faults) == 1


def test_views_of_zones_are_limited() -> None:
    """A frame's record has room for so many; more zones are no fault where they are no views."""
    names = [f"z{number}" for number in range(65)]
    zones = ", ".join(f"{{name: {name}, polygon: [[0, 0], [1, 0], [1, 1]]}}" for name in names)
    text = SOUND.replace("zones: [door]", f"zones: [{', '.join(names)}]").replace(
        "zones: [{name: door, polygon: [[0, 0], [1, 0], [1, 1]]}]", f"zones: [{zones}]"
    )
    assert len(read(text).streams[0].zones) == 65
    with pytest.raises(ConfigError, match="views: expected 64 zones at most to view, found 65"):
        read(text.replace("    max_fps: 5\n", "    max_fps: 5\n    views: zones\n"))


def test_a_reload_has_the_variables_of_the_start_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment was cleared of them, and another process may have put others there."""
    monkeypatch.setenv("DOOR", "hunter2")
    monkeypatch.setenv("ROOM", KEY)
    config = read(SECRETS.replace("{credential: gate}", "hunter3"))
    secrets = resolve_secrets(config)
    assert "hunter" not in repr(secrets)
    monkeypatch.setenv("DOOR", "hunter4")
    monkeypatch.delenv("ROOM")
    assert resolve_secrets(config, secrets.environment) == secrets
    without = resolve_secrets(read(SOUND), secrets.environment)
    assert resolve_secrets(config, without.environment) == secrets, "what went may come back"
    with pytest.raises(SecretError) as error:
        resolve_secrets(config, {"ROOM": KEY})
    (fault,) = error.value.faults
    sentence = "expected a variable that was given at the start, found DOOR; restart for another one"
    assert fault == f"f:2: streams[0].password: {sentence}"


@pytest.mark.parametrize("key", ["alarms", "audit"])
def test_the_past_is_kept_for_a_day_at_least(key: str) -> None:
    """A slip of the pen in the file does not wipe it out at the next reload."""
    kept = read(f"{SOUND}history: {{{key}: 30d}}\n").history
    assert getattr(kept, key) == 30 * 86400
    with pytest.raises(ConfigError, match=rf"history\.{key}: expected a duration of 1d or more, found 1h"):
        read(f"{SOUND}history: {{{key}: 1h}}\n")
