"""Each fault of a configuration gets one message that says all, and no message shows a secret."""

from pathlib import Path

import pytest

from tocsin.config.load import loads
from tocsin.errors import ConfigError

SOUND = (Path(__file__).parents[1] / "data" / "config" / "sound.yaml").read_text()


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as error:
        loads(text.encode(), name="f", folder=Path("/etc/tocsin"))
    return error.value.faults


# What is replaced in the sound configuration, by what, and the one message that this gives.
FAULTS = [
    pytest.param(
        "max_fps: 5",
        "max_fps: -1",
        "f:5: streams[0].max_fps: expected a number above 0, found -1",
        id="too small",
    ),
    pytest.param(
        "max_fps: 5",
        "max_fps: 61",
        "f:5: streams[0].max_fps: expected a number of 60 or less, found 61",
        id="too large",
    ),
    pytest.param(
        "max_fps: 5",
        "max_fps: fast",
        "f:5: streams[0].max_fps: expected a number, found the text fast",
        id="a word",
    ),
    pytest.param(
        "max_fps: 5", "max_fps: true", "f:5: streams[0].max_fps: expected a number, found true", id="a truth"
    ),
    pytest.param(
        "max_fps: 5", "max_fps:", "f:5: streams[0].max_fps: expected a number, found nothing", id="nothing"
    ),
    pytest.param(
        "max_fps: 5",
        "max_fps: .nan",
        "f:5: streams[0].max_fps: expected a number, found the text .nan",
        id="not a number",
    ),
    pytest.param(
        "max_fps: 5",
        "trasport: udp",
        "f:5: streams[0].trasport: unknown key (did you mean transport?)",
        id="misspelt key",
    ),
    pytest.param(
        "hits: 5, of",
        "xyz: 5, of",
        "f:12: rules[0].confirm.xyz: unknown key (known here: hits, of, per, within)",
        id="a key that is like none",
    ),
    pytest.param(
        "{mode: guided}",
        "{mode: gided}",
        "f:6: streams[0].light.mode: expected off, guided or dacot, found gided (did you mean guided?)",
        id="misspelt choice",
    ),
    pytest.param(
        "device: cpu",
        "device: tpu9",
        "f:1: detector.device: expected auto, cuda, tensorrt, openvino or cpu, found tpu9",
        id="no choice",
    ),
    pytest.param(
        "max_batch: 4",
        "max_batch: 0",
        "f:1: detector.max_batch: expected auto or a number of 1 or more, found 0",
        id="one of two",
    ),
    pytest.param(
        "max_batch: 4",
        "max_batch: full",
        "f:1: detector.max_batch: expected auto or a whole number, found the text full",
        id="neither of two",
    ),
    pytest.param(
        "hits: 5,",
        "hits: 1.5,",
        "f:12: rules[0].confirm.hits: expected a whole number, found 1.5",
        id="no whole",
    ),
    pytest.param(
        "within: 3s",
        "within: 3",
        "f:12: rules[0].confirm.within: expected a duration with its unit, such as 10s, 500ms or 1m30s, found 3",
        id="a duration without unit",
    ),
    pytest.param(
        "  - name: yard",
        "  - name: Yard",
        "f:3: streams[0].name: expected 1 to 32 of a-z, 0-9, _ and -, found Yard",
        id="no name",
    ),
    pytest.param(
        "  - name: yard",
        "  - name: 12",
        "f:3: streams[0].name: expected text, found 12, which is text only in quotes",
        id="a number as name",
    ),
    pytest.param(
        "  - name: yard\n    source: rtsp://10.0.0.7/stream1",
        "  - name: yard",
        "f:3: streams[0].source: expected this key, which has no default, found none",
        id="a missing key",
    ),
    pytest.param(
        "classes: [person]",
        "classes: person",
        "f:11: rules[0].classes: expected a list, found the text person",
        id="no list",
    ),
    pytest.param(
        "classes: [person]",
        "classes: []",
        "f:11: rules[0].classes: expected 1 or more items, found 0",
        id="an empty list",
    ),
    pytest.param(
        "{mode: guided}",
        "guided",
        "f:6: streams[0].light: expected keys and values, found the text guided",
        id="no keys",
    ),
    pytest.param(
        'http: {listen: "127.0.0.1:9464"}',
        "http:",
        "f:18: http: expected keys and values, found nothing",
        id="an empty section",
    ),
    pytest.param(
        "max_fps: 5",
        "loop: yes",
        "f:5: streams[0].loop: expected true or false, found the text yes",
        id="yes is a word",
    ),
    pytest.param(
        "rtsp://10.0.0.7/stream1",
        "ftp://u:hunter2@10.0.0.7/x?pw=hunter2",
        "f:4: streams[0].source: expected rtsp://, rtsps://, http:// or https:// and a host, /dev/video0, "
        "/dev/v4l/by-id/NAME or file:PATH, found ftp://10.0.0.7/...",
        id="another kind of source",
    ),
    pytest.param(
        "max_fps: 5",
        "loop: true",
        "f:5: streams[0].loop: expected this key only with file:, found it with rtsp:",
        id="dead key",
    ),
    pytest.param(
        "source: rtsp://10.0.0.7/stream1",
        "source: http://10.0.0.7/\n    transport: udp",
        "f:5: streams[0].transport: expected this key only with rtsp:, found it with http:",
        id="datagrams without rtsp",
    ),
    pytest.param(
        "max_fps: 5",
        "password: {env: YARD}",
        "f:5: streams[0].password: expected a username beside the password, found none",
        id="a password for nobody",
    ),
    pytest.param(
        "rtsp://10.0.0.7/stream1\n",
        "rtsp://u:hunter2@10.0.0.7/\n    username: v\n",
        "f:4: streams[0].source: expected no user in the address beside username and password, found both",
        id="two users",
    ),
    pytest.param(
        "{mode: guided}",
        "{mode: guided, brighter_than: 99}",
        "f:6: streams[0].light.brighter_than: expected this key only with mode: dacot, found mode: guided",
        id="a threshold that nothing reads",
    ),
    pytest.param(
        "[1, 0], [1, 1]]",
        "[1, 1]]",
        "f:7: streams[0].zones[0].polygon: expected three or more points, found 2",
        id="two points",
    ),
    pytest.param(
        "[1, 0], [1, 1]]",
        "[1, 0], [1]]",
        "f:7: streams[0].zones[0].polygon[2]: expected 2 or more values, found 1",
        id="half a point",
    ),
    pytest.param(
        "[1, 0], [1, 1]]",
        "[1, 0], [1, 1, 1]]",
        "f:7: streams[0].zones[0].polygon[2]: expected 2 items at most, found 3",
        id="a point in space",
    ),
    pytest.param(
        "[1, 0], [1, 1]]",
        "[1, 0], [1, 200]]",
        "f:7: streams[0].zones[0].polygon: expected points [x, y] from 0 to 1, found [1, 200]",
        id="a point in pixels",
    ),
    pytest.param(
        "[1, 0], [1, 1]]",
        "[1, 0], [-0.1, 1]]",
        "f:7: streams[0].zones[0].polygon: expected points [x, y] from 0 to 1, found [-0.1, 1]",
        id="a point to the left of the picture",
    ),
    pytest.param(
        "[1, 0], [1, 1]]",
        "[1, 1], [1, 0], [0, 1]]",
        "f:7: streams[0].zones[0].polygon: expected a polygon whose sides do not touch or cross, "
        "found self-intersection at [0.5 0.5]",
        id="sides that cross",
    ),
    pytest.param(
        "[1, 0], [1, 1]]",
        "[0.5, 0.5], [1, 1]]",
        "f:7: streams[0].zones[0].polygon: expected a polygon whose sides do not touch or cross, "
        "found self-intersection at [0.5 0.5]",
        id="a line",
    ),
    pytest.param(
        "[0, 0], [1, 0], [1, 1]]",
        "[9e-323, 9e-323], [5.4e-323, 7.4e-323], [9.4e-323, 0]]",
        "f:7: streams[0].zones[0].polygon: expected a polygon with an area, found none",
        id="a point that is three",
    ),
    pytest.param(
        "rtsp://10.0.0.7/stream1",
        "rtsps://10.0.0.7/\n    tls_verify: false\n    ca_file: x.pem",
        "f:6: streams[0].ca_file: expected tls_verify: true beside it, found false",
        id="certificates that nothing checks",
    ),
    pytest.param(
        "rules: [intruder]",
        "rules: [intruders]",
        "f:8: streams[0].rules[0]: expected the name of a rule, found intruders (did you mean intruder?)",
        id="an unknown rule",
    ),
    pytest.param(
        "rules: [intruder]",
        "rules: [intruder, intruder]",
        "f:8: streams[0].rules[1]: expected each rule once, found intruder again",
        id="a rule twice",
    ),
    pytest.param(
        "zones: [door]",
        "zones: [dor]",
        "f:13: rules[0].zones[0]: expected a zone of stream yard, found dor (did you mean door?)",
        id="a zone that the stream has not",
    ),
    pytest.param(
        "hits: 5, of: 10",
        "hits: 5, of: 4",
        "f:12: rules[0].confirm.hits: expected at most of, which is 4, found 5",
        id="5 of 4",
    ),
    pytest.param(
        "zones: [door]",
        "keep_score: 0.6",
        "f:13: rules[0].keep_score: expected at most min_score, which is 0.5, found 0.6",
        id="a score that keeps and does not raise",
    ),
    pytest.param(
        "zones: [door]",
        "exclude: [dor]",
        "f:13: rules[0].exclude[0]: expected a zone of stream yard, found dor (did you mean door?)",
        id="an excluded zone that the stream has not",
    ),
    pytest.param(
        "zones: [door]",
        "zones: [door]\n    exclude: [door]",
        "f:14: rules[0].exclude[0]: expected a zone that zones does not name, found door",
        id="a zone both asked for and excluded",
    ),
    pytest.param(
        "zones: [door]",
        "min_area: 0.5\n    max_area: 0.25",
        "f:13: rules[0].min_area: expected at most max_area, which is 0.25, found 0.5",
        id="no area at all",
    ),
    pytest.param(
        "rules: [intruder]",
        "masks: [[[0, 0], [1, 0]]]\n    rules: [intruder]",
        "f:8: streams[0].masks[0]: expected three or more points, found 2",
        id="a mask that is a line",
    ),
    pytest.param(
        "zones: [door]",
        'schedule: {time_zone: Europe/Madird, times: [{start: "18:00", end: "07:00"}]}',
        "f:13: rules[0].schedule.time_zone: "
        "expected the name of a time zone, such as Europe/Madrid or UTC, found Europe/Madird",
        id="no time zone",
    ),
    pytest.param(
        "zones: [door]",
        'schedule: {time_zone: Europe, times: [{start: "18:00", end: "07:00"}]}',
        "f:13: rules[0].schedule.time_zone: "
        "expected the name of a time zone, such as Europe/Madrid or UTC, found Europe",
        id="a part of the world",
    ),
    pytest.param(
        "zones: [door]",
        'schedule: {time_zone: UTC, times: [{start: "18:60", end: "07:00"}]}',
        "f:13: rules[0].schedule.times[0].start: expected a time of day from 00:00 to 24:00, found 18:60",
        id="no time of day",
    ),
    pytest.param(
        "zones: [door]",
        "schedule: {time_zone: UTC, times: [{start: 1800, end: 07:00}]}",
        "f:13: rules[0].schedule.times[0].start: expected a time of day from 00:00 to 24:00, found the number 1800",
        id="a number for a time",
    ),
    pytest.param(
        "zones: [door]",
        'schedule: {time_zone: UTC, times: [{start: "18:00", end: "18:00"}]}',
        "f:13: rules[0].schedule.times[0].start: expected a time before 24:00 and other than end, found 18:00",
        id="no time at all",
    ),
    pytest.param(
        "zones: [door]",
        "schedule: {time_zone: UTC, times: []}",
        "f:13: rules[0].schedule.times: expected 1 or more items, found 0",
        id="never on duty",
    ),
    pytest.param(
        "zones: [door]",
        "stationary: {after: 0}",
        "f:13: rules[0].stationary.after: expected a duration of 1s or more, found 0",
        id="what stands still at once",
    ),
    pytest.param(
        "zones: [door]",
        "near: person",
        "f:13: rules[0].near: expected a class that classes does not name, found person",
        id="near itself",
    ),
    pytest.param(
        "zones: [door]",
        "tier: review",
        "f:10: rules[0].severity: expected warning or info beside tier: review, found critical",
        id="a review that is critical, as alarms are by default",
    ),
    pytest.param(
        "within: 3s",
        "within: 500ms",
        "f:12: rules[0].confirm: expected 5 hits to fit within 0.5s, "
        "found that they take 0.8s at stream yard's max_fps 5",
        id="a deaf rule",
    ),
    pytest.param(
        "[1, 1]]}]\n    rules: [intruder]\nrules:\n  - name: intruder\n",
        "[1, 1]]}, {name: all, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}]\n    rules: [intruder]\nrules:\n"
        "  - name: intruder\n    exclude: [all]\n",
        "f:11: rules[0].exclude: expected zones that leave a part to look at on stream yard, found none",
        id="a rule that looks at nothing",
    ),
    pytest.param(
        "max_fps: 5",
        "masks: [[[0, 0], [0.6, 0], [0.6, 1], [0, 1]], [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]]",
        "f:5: streams[0].masks: expected masks that leave a part to look at, found none",
        id="masks over everything",
    ),
    pytest.param(
        "zones: [door]",
        "max_area: 0",
        "f:13: rules[0].max_area: expected a number above 0, found 0",
        id="nothing is so small",
    ),
    pytest.param(
        "rules:\n  - name: intruder\n",
        "rules:\n  - {name: intruder, classes: [cat]}\n  - name: intruder\n",
        "f:11: rules[1].name: expected a name of its own, found intruder, which is taken by number 0",
        id="two rules of one name",
    ),
    pytest.param(
        "{name: door, polygon: [[0, 0], [1, 0], [1, 1]]}",
        "{name: door, polygon: [[0, 0], [1, 0], [1, 1]]}, {name: door, polygon: [[0, 0], [1, 0], [1, 1]]}",
        "f:7: streams[0].zones[1].name: expected a name of its own, found door, which is taken by number 0",
        id="two zones of one name",
    ),
    pytest.param(
        "https://alarms.example/hook",
        "http://alarms.example/hook",
        "f:16: webhooks[0].url: expected https, or allow_insecure: true beside it, found http to another machine",
        id="plain http",
    ),
    pytest.param(
        "https://alarms.example/hook",
        "https://[64:ff9b::a9fe:a9fe]/hook",
        "f:16: webhooks[0].url: expected a receiver's address, found one that no webhook may have: link-local, "
        "a metadata service, multicast, reserved or IPv4 wrapped into IPv6",
        id="a metadata service as webhook",
    ),
    pytest.param(
        "https://alarms.example/hook",
        "https://10.0.0.7/hook\n    allow_networks: [192.168.0.0/16]",
        "f:16: webhooks[0].url: expected an address in allow_networks, found another one",
        id="an address outside its own networks",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: {env: ROOM}\n    allow_networks: [169.254.0.0/16]",
        "f:18: webhooks[0].allow_networks[0]: expected a network that a webhook may be in, found 169.254.0.0/16",
        id="a network that is never allowed",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: {env: ROOM}\n    allow_networks: [10.0.0.1/8]",
        "f:18: webhooks[0].allow_networks[0]: expected an address or a network such as 10.0.0.0/8, "
        "found 10.0.0.1/8",
        id="an address with a network's length",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        'format: template\n    template: "{summary}"\n    previous_secret: {env: ROOM}',
        "f:19: webhooks[0].previous_secret: expected this key beside secret, found it alone",
        id="a secret before none",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: {env: ROOM}\n    previous_secret: hunter2",
        "f:18: webhooks[0].previous_secret: expected whsec_ and base64 of 24 to 64 bytes, found no whsec_ in front",
        id="an earlier secret that is none",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: {env: ROOM}\n    username: u\n    password: {env: P}\n    token: {env: T}",
        "f:20: webhooks[0].token: expected one way to sign in, found username and token",
        id="two ways to sign in",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: {env: ROOM}\n    headers: {Webhook-Id: hunter2}",
        "f:18: webhooks[0].headers: expected a header that is not set anyway, found Webhook-Id",
        id="a header of ours",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: {env: ROOM}\n    headers: {X-Key: 7}",
        "f:18: webhooks[0].headers.X-Key: expected {credential: NAME}, {env: NAME} or {file: PATH}, found ***",
        id="a number as header",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: {env: ROOM}\n    headers: {X-Key: h\u00fcnter2}",
        "f:18: webhooks[0].headers.X-Key: expected printable ASCII without a line's end, "
        "found something else in it",
        id="another letter in a header",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: {env: ROOM}\n    key_file: k.pem",
        "f:18: webhooks[0].key_file: expected a cert_file beside the key, found none",
        id="a key without its certificate",
    ),
    pytest.param(
        "https://alarms.example/hook",
        "http://localhost/hook\n    ca_file: c.pem",
        "f:17: webhooks[0].ca_file: expected this key only with https:, found it with http:",
        id="an authority for plain http",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "events: [alarm.raised]",
        "f:15: webhooks[0].secret: expected this key beside format: tocsin, found none",
        id="nothing to sign with",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "format: template",
        "f:15: webhooks[0].template: expected this key with format: template and only there, found none",
        id="no template",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        'secret: {env: ROOM}\n    template: "{summary}"',
        "f:18: webhooks[0].template: expected this key with format: template and only there, found it with tocsin",
        id="a template for nothing",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        'format: template\n    template: {text: "{sumary}"}',
        "f:18: webhooks[0].template: expected one of summary, late, id, type, time, stream, rule, severity, class, "
        "score, zone, alarm_id, reason, picture, crop, clip, respond in braces, found {sumary}",
        id="no word of a template",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "format: alertmanager\n    events: [stream.*]",
        "f:18: webhooks[0].events: expected none with format: alertmanager, which takes raises, verdicts and ends, "
        "found some",
        id="events that no Alertmanager takes",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "format: alertmanager\n    attach: base64",
        "f:18: webhooks[0].attach: expected none with format: alertmanager, which takes links, found base64",
        id="pictures that no Alertmanager takes",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "format: cloudevents\n    attach: multipart",
        "f:18: webhooks[0].attach: expected base64 with format: cloudevents, which is one JSON, found multipart",
        id="a cloudevent in parts",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "format: template\n    template: {text: '{summary}'}\n    attach: base64",
        "f:19: webhooks[0].attach: expected multipart with format: template, found base64",
        id="base64 in a chat",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "format: template\n    template: {text: 'see {crop}'}\n    attach: multipart",
        "f:18: webhooks[0].template: expected a field that is {picture}, {crop} or {clip} beside "
        "attach: multipart, found none",
        id="a form without a picture",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: {env: ROOM}\n    attach_bytes: 60000",
        "f:18: webhooks[0].attach_bytes: expected attach: base64 or multipart beside it, found none",
        id="a size of nothing",
    ),
    pytest.param(
        "https://alarms.example/hook",
        "https://u:hunter2@alarms.example/hook",
        "f:16: webhooks[0].url: expected an address without user and password, found one with them",
        id="a user in the webhook's address",
    ),
    pytest.param(
        "https://alarms.example/hook",
        "https://alarms.example:99999/hunter2",
        "f:16: webhooks[0].url: expected a port from 1 to 65535 in the address, "
        "found https://alarms.example:99999/...",
        id="no port",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: {evn: hunter2}",
        "f:17: webhooks[0].secret: expected {credential: NAME}, {env: NAME} or {file: PATH}, found ***",
        id="no form of a secret",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: hunter2",
        "f:17: webhooks[0].secret: expected whsec_ and base64 of 24 to 64 bytes, found no whsec_ in front",
        id="a secret of another kind",
    ),
    pytest.param(
        "https://alarms.example/hook",
        "https://alarms.example/hook#1",
        "f:16: webhooks[0].url: expected an address without a fragment (#), found one with it",
        id="a fragment",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        f"secret: whsec_{'abc' * 13}",
        "f:17: webhooks[0].secret: expected whsec_ and base64 of 24 to 64 bytes, found text that is not base64",
        id="half a base64",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        f"secret: whsec_{'a-' * 20}",
        "f:17: webhooks[0].secret: expected whsec_ and base64 of 24 to 64 bytes, found text that is not base64",
        id="another alphabet",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        f"secret: whsec_{'abcd' * 22}",
        "f:17: webhooks[0].secret: expected whsec_ and base64 of 24 to 64 bytes, found 66 bytes",
        id="too long a secret",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: 2718281828",
        "f:17: webhooks[0].secret: expected {credential: NAME}, {env: NAME} or {file: PATH}, found ***",
        id="a number as secret",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: {env: ROOM}\n    events: [alarm.risen]",
        "f:18: webhooks[0].events[0]: expected a type of event such as alarm.raised, "
        "or all of a kind such as alarm.*, found alarm.risen",
        id="no event",
    ),
    pytest.param(
        "127.0.0.1:9464",
        "9464",
        "f:18: http.listen: expected HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464, found 9464",
        id="a port in quotes",
    ),
    pytest.param(
        '"127.0.0.1:9464"',
        "9464",
        'f:18: http.listen: expected a text HOST:PORT such as "127.0.0.1:9464", found the number 9464',
        id="a port",
    ),
    pytest.param(
        "127.0.0.1:9464",
        "127.0.0.1:65536",
        "f:18: http.listen: expected a port from 0 to 65535, found 65536",
        id="a port too far",
    ),
    pytest.param(
        'listen: "127.0.0.1:9464"',
        "allowed_hosts: [7]",
        "f:18: http.allowed_hosts[0]: expected a host name in lower case or an address, without port, "
        "found the number 7",
        id="a number as host",
    ),
    pytest.param(
        "rtsp://10.0.0.7/stream1",
        "0",
        "f:4: streams[0].source: expected rtsp://, rtsps://, http:// or https:// and a host, /dev/video0, "
        "/dev/v4l/by-id/NAME or file:PATH, found the number 0",
        id="a number as camera",
    ),
    pytest.param(
        "model: nanodet-coco-416",
        "model: 1.5",
        "f:1: detector.model: expected the name of a model, or a path to an .onnx file, found the number 1.5",
        id="a number as model",
    ),
    pytest.param(
        "https://alarms.example/hook",
        "8080",
        "f:16: webhooks[0].url: expected https://HOST/PATH, or http:// to this machine's loopback, "
        "found the number 8080",
        id="a number as address",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: {env: ROOM}\n    events: [7]",
        "f:18: webhooks[0].events[0]: expected a type of event such as alarm.raised, "
        "or all of a kind such as alarm.*, found the number 7",
        id="a number as event",
    ),
    pytest.param(
        "secret: {env: ROOM}",
        "secret: whsec_YQ==",
        "f:17: webhooks[0].secret: expected whsec_ and base64 of 24 to 64 bytes, found 1 byte",
        id="one byte",
    ),
    pytest.param(
        "127.0.0.1:9464",
        "0.0.0.0:9464",
        "f:18: http.listen: expected a loopback address, or web_config with TLS or users beside it, or "
        "insecure: true, found 0.0.0.0",
        id="open to everybody",
    ),
    pytest.param(
        'listen: "127.0.0.1:9464"',
        "allowed_hosts: ['Example:80']",
        "f:18: http.allowed_hosts[0]: expected a host name in lower case or an address, without port, "
        "found Example:80",
        id="no host name",
    ),
    pytest.param(
        "max_fps: 5",
        "max_fps: 5\n    max_fps: 6",
        "f:6: streams[0].max_fps: expected this key once, found it on line 5 too",
        id="twice",
    ),
    pytest.param(SOUND, "streams: []", "f:1: streams: expected 1 or more items, found 0", id="no stream"),
    pytest.param(
        SOUND,
        "rules: []",
        "f:1: streams: expected this key, which has no default, found none",
        id="no streams",
    ),
    pytest.param(
        SOUND,
        "streams: [yard]",
        "f:1: streams[0]: expected keys and values, found the text yard",
        id="only a name",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), FAULTS)
def test_one_fault_one_message(old: str, new: str, message: str) -> None:
    """A fault is told once, with its line, its key, what was expected and what was found."""
    assert old in SOUND
    found = faults(SOUND.replace(old, new, 1))
    assert found == (message,)
    assert "hunter2" not in message
    assert "2718281828" not in message


EVERYTHING = """\
detector: {device: cudda}
streams:
  - name: Entrance
    source: rtsp://admin:hunter2@10.0.0.7/stream1
    max_fps: -1
    zones: [{name: d, polygon: [[0, 0], [1, 1], [0, 1], [1, 0]]}]
    rules: [intruder, x]
  - {name: gate, source: "admin:hunter2@host", password: {x: hunter2}, max_fps: 1, rules: [intruder, intrude]}
rules:
  - name: intruder
    zones: [doorway]
    confirm: {hits: 5, of: 4}
webhooks:
  - {name: a, url: "ftp://u:hunter2@10.0.0.1/hunter2", secret: whsec_hunter2}
  - {name: a, url: "http://10.0.0.1/hunter2", secret: whsec_hunter2}
http: {listen: "0.0.0.0:9464"}
state_dir:
sate_dir: hunter2
"""


def test_every_fault_in_one_go() -> None:
    """A fault in one place hides none in another, all come in the order of the file, and none shows a secret."""
    found = faults(EVERYTHING)
    assert [message.split(": ")[:2] for message in found] == [
        [f"f:{line}", key]
        for line, key in (
            (1, "detector.device"),
            (3, "streams[0].name"),
            (5, "streams[0].max_fps"),
            (6, "streams[0].zones[0].polygon"),
            (7, "streams[0].rules[1]"),
            (8, "streams[1].source"),
            (8, "streams[1].password"),
            (8, "streams[1].rules[1]"),
            (10, "rules[0].classes"),
            (11, "rules[0].zones[0]"),
            (12, "rules[0].confirm"),
            (12, "rules[0].confirm.hits"),
            (14, "webhooks[0].url"),
            (15, "webhooks[1].name"),
            (15, "webhooks[1].url"),
            (15, "webhooks[1].secret"),
            (16, "http.listen"),
            (17, "state_dir"),
            (18, "sate_dir"),
        )
    ]
    assert "hunter2" not in "\n".join(found)
    assert "admin" not in "\n".join(found)


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        pytest.param(
            "name: yard", "name: Y", ["streams[0].name"], id="a stream without name deafens no rule"
        ),
        pytest.param(
            "name: intruder", "name: I", ["streams[0].rules[0]", "rules[0].name"], id="nor another rule"
        ),
        pytest.param("of: 10", "of: ten", ["rules[0].confirm.of"], id="a broken confirmation is not deaf"),
        pytest.param("max_fps: 1", "max_fps: x", ["streams[0].max_fps"], id="nor is one at a broken rate"),
        pytest.param(
            "polygon: [",
            "polygon: [7, ",
            ["streams[0].zones[0].polygon[0]", "rules[0].confirm"],
            id="a broken zone is there",
        ),
    ],
)
def test_a_fault_brings_no_others(old: str, new: str, keys: list[str]) -> None:
    """What cannot be judged because of a fault elsewhere is not complained about."""
    deaf = SOUND.replace("max_fps: 5", "max_fps: 1").replace("within: 3s", "within: 300ms")
    assert "rules[0].confirm: expected" in faults(deaf)[0]
    assert old in deaf
    complaints = [message.split(": ")[1] for message in faults(deaf.replace(old, new, 1))]
    assert complaints == keys


def test_the_slowest_stream_makes_a_rule_deaf() -> None:
    """Of several streams that use a rule, the message names the slowest."""
    slower = "  - {name: slow, source: /dev/video0, max_fps: 1, rules: [intruder]}\nrules:\n"
    text = SOUND.replace("rules:\n", slower, 1).replace("    zones: [door]\n", "")
    (message,) = faults(text)
    assert message.endswith("found that they take 4s at stream slow's max_fps 1")


def test_an_avalanche_is_cut() -> None:
    """Many faults end in a count."""
    found = faults(SOUND + "".join(f"key{number}: 1\n" for number in range(150)))
    assert len(found) == 101
    assert found[-1] == "f: 50 more faults"
    assert faults(SOUND + "".join(f"key{number}: 1\n" for number in range(101)))[-1] == "f: 1 more fault"
