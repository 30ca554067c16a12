"""What `check` says about a configuration on this machine: everything at once, each with its place."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support.tls import Certificates
from tocsin.check import Checked, DetectorFacts, Known, check, complete
from tocsin.config.load import loads
from tocsin.config.settings import Config
from tocsin.detect.detector import Detector
from tocsin.detect.session import Placement
from tocsin.detect.settings import DetectorSettings
from tocsin.errors import ConfigError, ModelError, StartError
from tocsin.resources import find

SOUND = """\
detector: {model: nanodet-coco-416, device: cpu}
streams:
  - {name: yard, source: /dev/video0, rules: [intruder]}
rules:
  - {name: intruder, classes: [person]}
webhooks:
  - {name: room, url: "https://localhost/hook", secret: {env: TOCSIN_TEST_ROOM}}
state_dir: state
"""
KEY = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"  # 24 bytes


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration without a fault, and its secret."""
    monkeypatch.setenv("TOCSIN_TEST_ROOM", KEY)
    monkeypatch.setenv("TOCSIN_TEST_URL", "https://alarms.example/hook")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    path = tmp_path / "c.yaml"
    path.write_text(SOUND)
    return path


def change(file: Path, *pairs: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text)


def faults(file: Path) -> list[str]:
    """The faults, with the file's name shortened to f where each begins."""
    with pytest.raises(ConfigError) as error:
        check(file)
    assert all(fault.startswith(f"{file}:") for fault in error.value.faults)
    return [f"f{fault.removeprefix(str(file))}" for fault in error.value.faults]


def test_a_sound_configuration_is_valid_and_leaves_no_trace(file: Path) -> None:
    """It comes back with the model, what that runs on, and no warning; the folder for the state is not made."""
    checked = check(file)
    placement = checked.detector.placement
    assert (checked.detector.model, str(placement)) == ("nanodet-coco-416", "CPUExecutionProvider (cpu)")
    assert placement.nodes > 0
    assert checked.warnings == ()
    assert checked.config.streams[0].name == "yard"
    assert list(file.parent.iterdir()) == [file]


def test_the_answer_counts_in_words() -> None:
    """One is a stream, two are streams."""
    text = SOUND.replace("\nrules:", "\n  - {name: gate, source: /dev/video1}\nrules:")
    facts = DetectorFacts("m", Placement("P", "cpu", None))
    checked = Checked(loads(text.encode(), name="f", folder=Path("/")), facts, ())
    assert str(checked) == "valid: 2 streams, 1 rule, 1 webhook; m runs on P (cpu)"


def test_a_device_that_is_there_and_does_not_load_is_a_warning(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configuration is valid, and its place comes with the reason why the detector runs on the CPU."""
    opened = Detector.warm

    def degrade(detector: Detector) -> float:
        detector.placement = replace(detector.placement, degraded="a GPU is visible, but it sleeps")
        return opened(detector)

    monkeypatch.setattr(Detector, "warm", degrade)
    assert check(file).warnings == (f"{file}:1: detector.device: a GPU is visible, but it sleeps",)


def test_nothing_hides_anything(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, a secret, an unknown class, the device and the folder for the state are told together."""
    monkeypatch.delenv("TOCSIN_TEST_ROOM")
    (file.parent / "state").write_text("")
    change(
        file,
        ("device: cpu", "device: cpuu"),
        ("/dev/video0,", "/dev/video0, max_fps: -1,"),
        ("[person]", "[dog, persn], near: bycicle, min_score: 2"),
    )
    found = faults(file)
    assert [fault.split(": ")[:2] for fault in found] == [
        ["f:1", "detector.device"],
        ["f:3", "streams[0].max_fps"],
        ["f:5", "rules[0].classes[1]"],
        ["f:5", "rules[0].near"],
        ["f:5", "rules[0].min_score"],
        ["f:7", "webhooks[0].secret"],
        ["f:8", "state_dir"],
    ]
    assert "did you mean person?" in found[2]


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        pytest.param(
            "text.onnx",
            "{folder}/text.onnx: expected an ONNX model, found a web page (6 bytes)",
            id="a file that is no model",
        ),
        pytest.param("none.onnx", "{folder}/none.onnx: expected a model file, found: ", id="no file"),
        pytest.param(
            "nanodet-coco-417",
            "expected nanodet-coco-416, nanodet-coco-416-int8 or a path to an .onnx file",
            id="no name",
        ),
    ],
)
def test_a_faulty_model_has_its_place(file: Path, model: str, sentence: str) -> None:
    """File, line and key stand before what is wrong with the model, and other faults beside it."""
    (file.parent / "text.onnx").write_text("<html>")
    change(file, ("nanodet-coco-416", model), ("TOCSIN_TEST_ROOM", "TOCSIN_TEST_NONE"))
    first, second = faults(file)
    assert first.startswith(f"f:1: detector.model: {sentence.format(folder=file.parent)}")
    assert second.startswith("f:7: webhooks[0].secret: ")


def refuse_cuda(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the machine have no CUDA; return the devices that are asked for."""
    from tocsin import check as module

    asked: list[str] = []
    opened = module.open_detector

    def refuse(model: str, device: str, max_batch: object, floor: float) -> object:
        asked.append(device)
        if device == "cuda":
            raise StartError("detector.device: expected cuda, found that there is none")
        return opened(model, device, max_batch, floor)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(module, "open_detector", refuse)
    return asked


def test_a_device_that_is_missing_here_is_no_fault_of_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone it is a failure to start, with its place; beside faults it is told with them, the classes included."""
    asked = refuse_cuda(monkeypatch)
    change(file, ("device: cpu", "device: cuda"))
    sentence = "f:1: detector.device: expected cuda, found that there is none"
    with pytest.raises(StartError) as error:
        check(file)
    assert str(error.value) == sentence.replace("f", str(file), 1)
    assert asked == ["cuda", "cpu"]
    change(file, ("[person]", "[persn]"))
    first, second = faults(file)
    assert first == sentence
    assert second.startswith("f:5: rules[0].classes[0]: ")


@pytest.mark.parametrize(
    ("state_dir", "found"),
    [
        ("c.yaml", "expected a directory at {folder}/c.yaml, found something else"),
        (
            "c.yaml/a/b",
            "expected a directory at {folder}/c.yaml/a/b, found something else above it, {folder}/c.yaml",
        ),
        ("link", "expected a directory at {folder}/link, found something else"),
    ],
)
def test_a_file_is_no_folder_for_the_state(file: Path, state_dir: str, found: str) -> None:
    """Waiting mends no file, and no broken link, where a folder belongs."""
    (file.parent / "link").symlink_to(file.parent / "nowhere")
    change(file, ("state_dir: state", f"state_dir: {state_dir}"))
    assert faults(file) == [f"f:8: state_dir: {found.format(folder=file.parent)}"]


def test_a_folder_that_everybody_writes_in_is_none_for_the_state(file: Path) -> None:
    """Another user could put an outbox of his own there; the folder of a group is its own affair."""
    state = file.parent / "state"
    state.mkdir()
    state.chmod(0o1777)
    sentence = f"expected a directory that others cannot write in, found {state} writable by everyone"
    assert faults(file) == [f"f:8: state_dir: {sentence}"]
    state.chmod(0o770)
    assert check(file).warnings == ()


def test_what_may_mend_itself_is_a_warning(file: Path) -> None:
    """Clips and certificates that are not there now, or are folders, are told and keep nothing from starting."""
    folder = file.parent
    (folder / "here.mp4").write_text("")
    streams = """\
  - {name: yard, source: 'file:none.mp4', rules: [intruder]}
  - {name: a, source: 'file:.', rules: [intruder]}
  - {name: b, source: 'file:c.yaml/x', rules: [intruder]}
  - {name: c, source: 'rtsps://h/', ca_file: none.pem, rules: [intruder]}
  - {name: d, source: 'file:here.mp4', rules: [intruder]}
"""
    change(file, ("  - {name: yard, source: /dev/video0, rules: [intruder]}\n", streams))
    assert check(file).warnings == (
        f"{file}:3: streams[0].source: there is no file {folder}/none.mp4 now",
        f"{file}:4: streams[1].source: {folder} is a directory now, and no file",
        f"{file}:5: streams[2].source: {folder}/c.yaml/x cannot be read now: not a directory",
        f"{file}:6: streams[3].ca_file: there is no file {folder}/none.pem now",
    )


@pytest.mark.parametrize(
    ("make", "what"), [(Path.mkdir, "write in"), (Path.absolute, "make")], ids=["there", "not there"]
)
def test_a_folder_that_this_user_may_not_use_is_a_warning(
    file: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], what: str
) -> None:
    """The daemon may run as another user, so it is told and is no fault."""
    make(file.parent / "state")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert check(file).warnings == (
        f"{file}:8: state_dir: this user is not allowed to {what} {file.parent}/state",
    )


def test_the_first_error_at_the_start_brings_the_others(file: Path) -> None:
    """What the start ran into is told with all that it did not come to, credentials included."""
    change(file, ("[person]", "[persn]"), ("{env: TOCSIN_TEST_ROOM}", "{credential: room}"))
    whole = complete(file, ModelError("x"), secrets_had=False)
    assert isinstance(whole, ConfigError)
    assert [fault.split(": ")[1] for fault in whole.faults] == ["rules[0].classes[0]", "webhooks[0].secret"]
    refused = complete(file, StartError("f:1: http.listen: expected a free one"), secrets_had=True)
    assert str(refused).splitlines() == [whole.faults[0], "f:1: http.listen: expected a free one"]


def test_an_error_that_is_gone_is_told_all_the_same(file: Path) -> None:
    """Where nothing is wrong any more, the first error stays what is reported."""
    first = ModelError("x")
    assert complete(file, first, secrets_had=False) is first


def test_what_a_running_daemon_knows_is_not_found_out_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its model is not opened beside it, its environment not asked, and the messages are the same."""
    change(file, ("[person]", "[persn]"))
    (fault,) = complete(file, ModelError("x")).faults
    monkeypatch.delenv("TOCSIN_TEST_ROOM")
    monkeypatch.setattr("tocsin.check.open_detector", lambda *_: pytest.fail("the model is opened"))
    detector = DetectorSettings(model="nanodet-coco-416", device="cpu")
    known = Known({"TOCSIN_TEST_ROOM": KEY}, detector, ("person", "dog"))
    assert complete(file, ModelError("x"), known=known).faults == (fault,)
    other = replace(known, variables={})
    assert len(complete(file, ModelError("x"), known=other).faults) == 2


def test_the_shipped_demo_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its warnings are the ones that its comment speaks of, for a user who may write where it lies."""
    monkeypatch.setattr(os, "access", lambda *_: True)
    checked = check(find("config/demo.yaml"))
    assert isinstance(checked.config, Config)
    assert [warning.split(": ")[1] for warning in checked.warnings] == [
        "streams[0].source",
        "webhooks[0].secret",
    ]


def test_a_secret_of_no_form_is_not_looked_for(file: Path) -> None:
    """What is no reference is one fault, and so is what is no section."""
    change(file, ("{env: TOCSIN_TEST_ROOM}", "{evn: ROOM}"), ("rules:\n", "rules:\n  - intruder\n"))
    assert [fault.split(": ")[1] for fault in faults(file)] == ["rules[0]", "webhooks[0].secret"]


def test_without_a_model_to_ask_the_classes_are_not_judged(file: Path) -> None:
    """A model that is no text is one fault, and a file that is no mapping is told as loading tells it."""
    change(file, ("nanodet-coco-416", "7"), ("[person]", "[persn]"))
    (fault,) = faults(file)
    assert fault.startswith("f:1: detector.model: expected the name of a model")
    file.write_text("- a\n")
    with pytest.raises(ConfigError, match="expected keys such as streams: and webhooks:, found a list"):
        check(file)


def test_a_credential_that_only_the_service_gets_is_a_warning(file: Path) -> None:
    """Outside the service it can neither be had nor be missed."""
    change(file, ("{env: TOCSIN_TEST_ROOM}", "{credential: room}"))
    (warning,) = check(file).warnings
    assert warning.startswith(f"{file}:7: webhooks[0].secret: ")
    assert "room" in warning


HASH = "$2b$04$" + "a" * 53


@pytest.mark.parametrize(
    ("web", "found"),
    [
        ("basic_auth_users: {a: plain}", "WEB:1: basic_auth_users.a: expected a bcrypt hash, as htpasswd"),
        (
            "{}",
            "WEB: expected tls_server_config or basic_auth_users, for others can reach the endpoint, found",
        ),
        ("tls: {}", "WEB:1: tls: unknown key"),
    ],
)
def test_the_endpoint_s_own_file_is_checked_too(file: Path, web: str, found: str) -> None:
    """Its fault is told with its own place behind that of the key that names it."""
    (file.parent / "web.yml").write_text(web + "\n")
    change(file, ("state_dir:", 'http: {listen: "0.0.0.0:9464", web_config: web.yml}\nstate_dir:'))
    (fault,) = faults(file)
    assert fault.startswith(f"f:8: http.web_config: {found.replace('WEB', str(file.parent / 'web.yml'))}")


def test_what_the_network_can_see_is_warned_about(file: Path) -> None:
    """Passwords without TLS work, and are no secret for long; nor is a file judged that cannot be read."""
    web = file.parent / "web.yml"
    change(file, ("state_dir:", 'http: {listen: "0.0.0.0:9464", web_config: web.yml}\nstate_dir:'))
    assert check(file).warnings == (f"{file}:8: http.web_config: there is no file {web} now",)
    web.write_text(f"basic_auth_users: {{a: {HASH}}}\n")
    (warning,) = check(file).warnings
    assert warning == (
        f"{file}:8: http.web_config: without tls_server_config all that is read, and each password, crosses the "
        "network in the clear"
    )
    change(file, ("0.0.0.0", "127.0.0.1"))
    assert check(file).warnings == ()
    web.write_text("tls_server_config: {cert_file: a.crt, key_file: a.key}\n")
    assert [warning.partition("there is no file ")[2] for warning in check(file).warnings] == [
        f"{file.parent}/a.crt now",
        f"{file.parent}/a.key now",
    ]


@pytest.mark.parametrize(
    ("http", "url", "where"),
    [
        ("{}", "https://alarms.example/hook", "127.0.0.1"),
        ('{listen: "0.0.0.0:1", insecure: true}', "https://alarms.example/hook", "0.0.0.0"),
        ("{}", "{env: TOCSIN_TEST_URL}", "127.0.0.1"),
        ("{}", "https://127.0.0.1/hook", None),
        ('{listen: "10.0.0.2:1", insecure: true}', "https://alarms.example/hook", None),
        ('{public_url: "https://cams.example"}', "https://alarms.example/hook", None),
    ],
)
def test_links_that_no_receiver_can_follow_are_warned_about(
    file: Path, http: str, url: str, where: str | None
) -> None:
    """A webhook on another machine gets links, which must not lead that machine to itself."""
    change(file, ("state_dir:", f"http: {http}\nstate_dir:"), ('"https://localhost/hook"', f"{url}"))
    found = tuple(warning.partition("found none: ")[2] for warning in check(file).warnings)
    told = f"links in alarms lead to {where}, which is only for this machine"
    assert found == (() if where is None else (told,))


def with_tls(file: Path, **files: Path) -> None:
    named = ", ".join(f"{key}: {path}" for key, path in files.items())
    change(file, ("{env: TOCSIN_TEST_ROOM}}", f"{{env: TOCSIN_TEST_ROOM}}, {named}}}"))


@pytest.fixture
def signed(tmp_path: Path) -> dict[str, Path]:
    """Certificates and keys, by how long they are valid."""
    certificates = Certificates(tmp_path)
    files = {"authority": certificates.authority}
    for name, days in (("good", 90), ("short", 9), ("over", -1)):
        certificates.sign(name, days=days)
        files[name], files[f"{name}_key"] = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
        files[f"{name}_key"].chmod(0o600)
    return files


def test_a_key_must_fit_its_certificate(file: Path, signed: dict[str, Path]) -> None:
    """A pair that belongs together passes; the key of another certificate, and a file without any, are faults."""
    with_tls(file, cert_file=signed["good"], key_file=signed["good_key"], ca_file=signed["good"])
    assert check(file).warnings == ()
    change(file, ("key_file: " + str(signed["good_key"]), "key_file: " + str(signed["over_key"])))
    (fault,) = faults(file)
    assert fault.startswith("f:7: webhooks[0].key_file: expected the key of the certificate in")
    change(file, ("ca_file: " + str(signed["good"]), "ca_file: " + str(signed["good_key"])))
    (fault,) = faults(file)
    assert fault.startswith("f:7: webhooks[0].ca_file: expected certificates in PEM")


@pytest.mark.parametrize(
    ("name", "said"), [("over", "the certificate has expired on "), ("short", "the certificate expires on ")]
)
def test_a_certificate_that_runs_out_is_a_warning(
    file: Path, signed: dict[str, Path], name: str, said: str
) -> None:
    """Each file is looked into, the daemon's own certificate as well as the authorities, also a camera's."""
    with_tls(file, cert_file=signed[name], key_file=signed[f"{name}_key"], ca_file=signed[name])
    change(file, ("source: /dev/video0", f"source: 'rtsps://10.0.0.7/', ca_file: {signed[name]}"))
    found = check(file).warnings
    places = ("3: streams[0].ca_file", "7: webhooks[0].ca_file", "7: webhooks[0].cert_file")
    assert sorted(text.removeprefix(f"{file}:").split(said)[0] for text in found) == [
        f"{each}: " for each in places
    ]
