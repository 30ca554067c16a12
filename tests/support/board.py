"""What the dashboard shows: its rows, panels and queries, as a guard and an operator read them from top to bottom.

After a change here run `python tests/dashboard.py`; a test says so when it was forgotten.
"""

from support.panels import Colour, I, Kind, Panel, Query, Row, S, Word, increase, mean, quantile, rate
from tocsin.deliver.schedule import Settlement
from tocsin.deliver.trouble import DropReason
from tocsin.deliver.verdict import Verdict

YES_NO = (Word(0, 0, "no", Colour.FINE), Word(1, 1, "YES", Colour.ACT))
RIGHT = (Word(1, 1, "fine", Colour.FINE), Word(0, 0, "WRONG", Colour.ACT))

STATE = (
    f"8 * (1 - tocsin_stream_up{{{S}}}) + 4 * tocsin_stream_covered{{{S}}}"
    f" + 2 * tocsin_stream_frozen{{{S}}} + tocsin_stream_impaired{{{S}}}"
)
"""What is worst about a stream, as a number: each power of two outweighs what is below it."""
STATE_WORDS = (
    Word(0, 0, "fine", Colour.FINE),
    Word(1, 1, "sees too little", Colour.LOOK),
    Word(2, 3, "frozen", Colour.ACT),
    Word(4, 7, "covered", Colour.ACT),
    Word(8, 15, "down", Colour.ACT),
)
SEEN = f"sum(({STATE}) == bool 0)"
"""How many streams are fine."""
ALL = f"count(tocsin_stream_up{{{S}}})"
FINE_OF_ALL = (
    # count_values makes a label of a number, so that the tile can say "3 of 4"; the value is whether all are.
    f'count_values("fine", {SEEN}) * on () group_left (total) count_values("total", {ALL})'
    f" * on () group_left () ({SEEN} == bool {ALL})"
)

GLANCE = Row(
    "At a glance",
    (
        Panel(
            "Tocsin",
            Kind.STAT,
            "Whether Prometheus reaches the daemon. When it does not, nothing else on this page is true any"
            " more.",
            (Query(f'min(up{{job="tocsin", {I}}})', "daemon"),),
            3,
            4,
            words=(Word(1, 1, "running", Colour.FINE), Word(0, 0, "DOWN", Colour.ACT)),
            empty="NOT WATCHED",
        ),
        Panel(
            "Alarms now",
            Kind.STAT,
            "Each camera and rule with an alarm that was raised and has not ended. Look there.",
            (Query(f"sum by (stream, rule) (tocsin_alarms_active{{{S}}}) > 0", "{{stream}}: {{rule}}"),),
            9,
            4,
            words=(Word(1, 1e6, "ALARM", Colour.ACT),),
            empty="none",
        ),
        Panel(
            "All cameras fine?",
            Kind.STAT,
            "How many cameras bring pictures in which something can be seen: not down, frozen, covered,"
            " dark or white.",
            (Query(FINE_OF_ALL, "{{fine}} of {{total}}"),),
            4,
            4,
            words=(Word(1, 1, "yes", Colour.FINE), Word(0, 0, "NO", Colour.ACT)),
            empty="unknown",
        ),
        Panel(
            "Delivery waits?",
            Kind.STAT,
            "How long the oldest event has waited for its receiver, of the receiver that waits longest.",
            (
                Query(
                    f"topk(1, max by (webhook) (tocsin_outbox_oldest_age_seconds{{{I}}}))",
                    "{{webhook}}",
                ),
            ),
            4,
            4,
            "s",
            steps=((60, Colour.LOOK), (600, Colour.ACT)),
            words=(Word(0, 5, "no", Colour.FINE),),
            empty="unknown",
        ),
        Panel(
            "Detector fine?",
            Kind.STAT,
            "Whether the detector is what it should be: on its device, without errors, fast enough for"
            " every rule.",
            (
                Query(
                    f"tocsin_detector_info{{{I}}} * on (instance) group_left () tocsin_detector_degraded{{{I}}}",
                    "on {{device}}",
                ),
            ),
            4,
            4,
            words=(Word(0, 0, "yes", Colour.FINE), Word(1, 1, "NO", Colour.ACT)),
            empty="unknown",
        ),
        Panel(
            "Alarms raised",
            Kind.CURVES,
            "Alarms in each minute (longer where the page shows more than some hours), by camera and rule.",
            (Query(increase("tocsin_alarms_total", "stream, rule", S), "{{stream}}: {{rule}}"),),
            12,
            bars=True,
            stacked=True,
        ),
        Panel(
            "Alarms open",
            Kind.STATES,
            "When an alarm was open. It ends when the thing has no longer been seen, which does not mean"
            " that it is gone.",
            (Query(f"sum by (stream, rule) (tocsin_alarms_active{{{S}}})", "{{stream}}: {{rule}}"),),
            12,
            words=(Word(0, 0, "quiet", Colour.FINE), Word(1, 1e6, "alarm", Colour.ACT)),
        ),
        Panel(
            "Cameras over time",
            Kind.STATES,
            "What was worst about each camera: down, covered, frozen, too dark or bright to see by, or fine.",
            (Query(STATE, "{{stream}}"),),
            12,
            words=STATE_WORDS,
        ),
        Panel(
            "What is wrong now",
            Kind.TABLE,
            "The alerts that fire, by config/prometheus/tocsin.rules.yml, which Prometheus must have loaded."
            " What to do about each stands in the runbook beside it.",
            (Query('ALERTS{alertname=~"Tocsin.+", alertstate="firing", instance=~"$instance|"}'),),
            12,
            empty="no alert fires",
            hidden=("Time", "Value", "__name__", "alertstate", "job", "reason", "outcome"),
        ),
    ),
)

CAMERAS = Row(
    "Cameras",
    (
        Panel(
            "Every camera",
            Kind.TABLE,
            "One line for each camera. Pictures a second that come and that are analysed; how old the"
            " newest is, and how"
            " old 99 of 100 are at their result; the light before correction (0 black, 255 white), and what"
            " was mostly"
            " done about it; the share of pictures that came damaged; connections that broke in an hour.",
            (
                Query(f"max by (instance, stream) ({STATE})", "state"),
                Query(f"max by (instance, stream) (tocsin_stream_fps{{{S}}})", "pictures/s", "short"),
                Query(rate("tocsin_frames_analysed_total", "instance, stream", S), "analysed/s", "short"),
                Query(
                    f"max by (instance, stream) (tocsin_stream_last_frame_age_seconds{{{S}}})", "newest", "s"
                ),
                Query(quantile(0.99, "tocsin_frame_age_seconds", "instance, stream", S), "age p99", "s"),
                Query(f"max by (instance, stream) (tocsin_light_luma{{{S}}})", "luma", "none"),
                Query(f"max by (instance, stream) (tocsin_light_contrast{{{S}}})", "contrast", "none"),
                Query(
                    "topk by (instance, stream) (1, sum by (instance, stream, correction)"
                    f" (rate(tocsin_light_corrections_total{{{S}}}[$__rate_interval])) > 0)",
                    "corrected/s",
                    "short",
                ),
                Query(
                    f"{rate('tocsin_frames_quarantined_total', 'instance, stream', S)}"
                    f" / ({rate('tocsin_frames_received_total', 'instance, stream', S)} > 0)",
                    "damaged",
                    "percentunit",
                ),
                Query(
                    f"round(sum by (instance, stream) (increase(tocsin_stream_disconnects_total{{{S}}}[1h])))",
                    "broken in 1 h",
                    "none",
                ),
            ),
            24,
            8,
            words=STATE_WORDS,
            hidden=("Time",),
        ),
        Panel(
            "Silences and walk tests",
            Kind.STATES,
            "When alarms were told to nobody, and when as a test, because somebody wanted it so: `tocsin audit`"
            " says who.",
            (
                Query(f"max by (stream, rule) (tocsin_silenced{{{S}}})", "{{stream}}: {{rule}}"),
                Query(f"2 * max by (stream) (tocsin_walk_test{{{S}}})", "{{stream}}: walk test"),
            ),
            12,
            words=(
                Word(0, 0, "told", Colour.FINE),
                Word(1, 1, "silenced", Colour.LOOK),
                Word(2, 2, "test", Colour.PLAIN),
            ),
        ),
        Panel(
            "Alarms of which nobody heard",
            Kind.CURVES,
            "Alarms that were raised while they were silenced, and those of walk tests, which were told as such.",
            (
                Query(increase("tocsin_alarms_silenced_total", "stream, rule", S), "{{stream}}: {{rule}}"),
                Query(increase("tocsin_test_alarms_total", "stream, rule", S), "{{stream}}: {{rule}} (test)"),
            ),
            12,
            bars=True,
            stacked=True,
        ),
    ),
)

DETECTOR = Row(
    "Detector",
    (
        Panel(
            "Runs on",
            Kind.TABLE,
            "The model, and the device and provider that it really runs on; what share of its nodes an"
            " accelerator has.",
            (
                Query(f"sum by (instance, model, device, provider) (tocsin_detector_info{{{I}}})", "is"),
                Query(
                    f"sum by (instance) (tocsin_detector_accelerated_ratio{{{I}}})",
                    "on the GPU",
                    "percentunit",
                ),
            ),
            10,
            hidden=("Time", "is"),
        ),
        Panel(
            "Reference picture",
            Kind.STAT,
            "Whether the detector sees in its reference picture what it should; it looks every five minutes.",
            (Query(f"min(tocsin_model_canary_ok{{{I}}})", "seen"),),
            3,
            words=RIGHT,
            empty="unknown",
        ),
        Panel(
            "Time of each step",
            Kind.CURVES,
            "Mean time of decoding and light (one picture) and of the model and what follows it (one batch).",
            (Query(mean("tocsin_stage_seconds", "stage", I), "{{stage}}"),),
            6,
            unit="s",
        ),
        Panel(
            "Batch",
            Kind.CURVES,
            "Mean number of views in one call of the model; 1 on a CPU.",
            (Query(mean("tocsin_batch_size", "instance", I), "{{instance}}"),),
            5,
        ),
        Panel(
            "What became of the pictures",
            Kind.CURVES,
            "Pictures a second: analysed; left out since max_fps asks for no more (rate); or lost"
            " to a newer one"
            " (superseded), to missing memory (busy) or to an error (failed), which means that the machine"
            " is too slow.",
            (
                Query(f"sum(rate(tocsin_frames_analysed_total{{{S}}}[$__rate_interval]))", "analysed"),
                Query(rate("tocsin_frames_dropped_total", "reason", S), "{{reason}}"),
            ),
            9,
            stacked=True,
        ),
        Panel(
            "Deaf rules",
            Kind.STATES,
            "Rules that can never be confirmed, since too few pictures of their camera are analysed.",
            (Query(f"tocsin_rule_deaf{{{S}}}", "{{stream}}: {{rule}}"),),
            6,
            words=(Word(0, 0, "hears", Colour.FINE), Word(1, 1, "DEAF", Colour.ACT)),
        ),
        Panel(
            "Errors of the detector",
            Kind.CURVES,
            "Batches that failed by kind, sessions opened anew, the GPU left for the CPU, and models that"
            " were refused.",
            (
                Query(increase("tocsin_inference_errors_total", "kind", I), "{{kind}}"),
                Query(increase("tocsin_detector_reopens_total", "job", I), "reopened"),
                Query(increase("tocsin_provider_fallbacks_total", "job", I), "left the GPU"),
                Query(increase("tocsin_model_reload_failures_total", "job", I), "model refused"),
            ),
            9,
            bars=True,
            stacked=True,
        ),
    ),
)


def given(verdicts: str) -> str:
    """Return the expression of the verdicts of each rule in all the time that is shown, by their words' pattern."""
    chosen = f'{I}, verdict=~"{verdicts}"'
    return f"sum by (rule) (increase(tocsin_verdicts_total{{{chosen}}}[$__range]))"


TRUTH = f"{Verdict.CONFIRMED}|{Verdict.REJECTED}"
"""What says whether an alarm was right; who has acknowledged one has said that it was seen."""
REJECTED = f"{given(Verdict.REJECTED)} / ({given(TRUTH)} > 0)"

VERDICTS = Row(
    "Verdicts",
    (
        Panel(
            "Rejected, of those judged",
            Kind.STAT,
            "The share of rejected alarms among those that were confirmed or rejected, by rule, in the time that"
            " is shown. A rule of which half is rejected will be overheard: see its runbook, TocsinRuleCriesWolf.",
            (Query(REJECTED, "{{rule}}"),),
            8,
            6,
            "percentunit",
            steps=((0.25, Colour.LOOK), (0.5, Colour.ACT)),
            empty="none judged",
        ),
        Panel(
            "Verdicts by rule",
            Kind.TABLE,
            "How many alarms of each rule were raised in the time that is shown, and what people said of them.",
            (
                Query(
                    f"round(sum by (rule) (increase(tocsin_alarms_total{{{I}}}[$__range])))", "raised", "none"
                ),
                Query(f"round({given(Verdict.CONFIRMED)})", "confirmed", "none"),
                Query(f"round({given(Verdict.REJECTED)})", "rejected", "none"),
                Query(f"round({given(Verdict.ACKNOWLEDGED)})", "acknowledged", "none"),
            ),
            8,
            6,
            hidden=("Time",),
        ),
        Panel(
            "Verdicts over time",
            Kind.CURVES,
            "Verdicts in each minute (longer where the page shows more than some hours), by rule and word.",
            (
                Query(
                    increase("tocsin_verdicts_total", "rule, verdict", I) + " > 0",
                    "{{rule}}: {{verdict}}",
                ),
            ),
            8,
            6,
            bars=True,
            stacked=True,
            empty="no verdict",
        ),
    ),
)

DELIVERY = Row(
    "Delivery",
    (
        Panel(
            "Deliveries that wait",
            Kind.CURVES,
            "The queue of each webhook. Nothing of it is lost: it is tried again for 72 hours.",
            (Query(f"sum by (webhook) (tocsin_outbox_depth{{{I}}})", "{{webhook}}"),),
        ),
        Panel(
            "Age of the oldest",
            Kind.CURVES,
            "How long the oldest delivery of each webhook has waited.",
            (Query(f"max by (webhook) (tocsin_outbox_oldest_age_seconds{{{I}}})", "{{webhook}}"),),
            unit="s",
        ),
        Panel(
            "From the first sighting to the alarm",
            Kind.CURVES,
            "How long the confirmation took: half of the alarms, and 95 of 100. A rule asks for several"
            " sightings.",
            (
                Query(quantile(0.5, "tocsin_alarm_delay_seconds", "rule", I), "{{rule}} p50"),
                Query(quantile(0.95, "tocsin_alarm_delay_seconds", "rule", I), "{{rule}} p95"),
            ),
            unit="s",
        ),
        Panel(
            "From the alarm to the receiver",
            Kind.CURVES,
            "How long it took until the receiver accepted it: half of them, and 99 of 100. The first"
            " attempt is made at"
            " once; minutes and hours are those of a receiver that was away.",
            (
                Query(quantile(0.5, "tocsin_delivery_seconds", "webhook", I), "{{webhook}} p50"),
                Query(quantile(0.99, "tocsin_delivery_seconds", "webhook", I), "{{webhook}} p99"),
            ),
            unit="s",
        ),
        Panel(
            "Requests",
            Kind.CURVES,
            "Attempts at a delivery by what came of them.",
            (
                Query(
                    increase("tocsin_delivery_attempts_total", "webhook, outcome", I) + " > 0",
                    "{{webhook}}: {{outcome}}",
                ),
            ),
            8,
            6,
            bars=True,
            stacked=True,
            empty="no attempt",
        ),
        Panel(
            "Given up in 24 h",
            Kind.STAT,
            "Deliveries that were given up. They are kept: tocsin outbox list, tocsin outbox retry.",
            (
                Query(
                    f'round(sum(increase(tocsin_deliveries_total{{{I}, outcome="{Settlement.DEAD}"}}[24h])))',
                    "dead letters",
                ),
            ),
            4,
            6,
            "none",
            steps=((1, Colour.ACT),),
        ),
        Panel(
            "Lost in 24 h",
            Kind.STAT,
            "Events and deliveries that nobody will get, since a queue or the disk was full.",
            (
                Query(
                    f"round(sum(increase(tocsin_outbox_dropped_total{{{I},"
                    f' reason!="{DropReason.COLLAPSED}"}}[24h])))',
                    "events",
                ),
            ),
            4,
            6,
            "none",
            steps=((1, Colour.ACT),),
        ),
        Panel(
            "Receiver gone?",
            Kind.STAT,
            "Whether a webhook answered 410 and is tried once an hour only.",
            (Query(f"max by (webhook) (tocsin_webhook_paused{{{I}}})", "{{webhook}}"),),
            4,
            6,
            words=YES_NO,
        ),
        Panel(
            "Disk in trouble?",
            Kind.STAT,
            "Whether the outbox cannot be written, so that a crash would forget what waits.",
            (Query(f"max(tocsin_outbox_degraded{{{I}}})", "outbox"),),
            4,
            6,
            words=YES_NO,
        ),
        Panel(
            "Time to the disk",
            Kind.CURVES,
            "What 99 of 100 commits of events do not exceed. The goal is 50 ms; seconds are a disk in trouble.",
            (Query(quantile(0.99, "tocsin_outbox_commit_seconds", "instance", I), "{{instance}}"),),
            12,
            5,
            "s",
        ),
        Panel(
            "Refusals by the disk",
            Kind.CURVES,
            "Changes of the outbox that the disk refused, by error.",
            (Query(increase("tocsin_outbox_errors_total", "error", I), "{{error}}"),),
            12,
            5,
            bars=True,
            stacked=True,
        ),
    ),
)

SYSTEM = Row(
    "System",
    (
        Panel(
            "Memory",
            Kind.CURVES,
            "Of the daemon's main process; each camera has a process of some 50 MB beside it.",
            (Query(f'process_resident_memory_bytes{{job="tocsin", {I}}}', "{{instance}}"),),
            6,
            6,
            "bytes",
        ),
        Panel(
            "CPU",
            Kind.CURVES,
            "Cores that the daemon's main process uses; cameras are decoded in processes of their own.",
            (
                Query(
                    f'rate(process_cpu_seconds_total{{job="tocsin", {I}}}[$__rate_interval])', "{{instance}}"
                ),
            ),
            6,
            6,
        ),
        Panel(
            "Disk left",
            Kind.STAT,
            "Space that the daemon has left on the disk of its state.",
            (Query(f"min(tocsin_disk_free_bytes{{{I}}})", "free"),),
            3,
            6,
            "bytes",
            steps=((0, Colour.ACT), (256 * 2**20, Colour.LOOK), (2**30, Colour.FINE)),
        ),
        Panel(
            "Clock",
            Kind.STAT,
            "Whether a time server keeps the machine's clock right. Times in alarms and signatures depend"
            " on it.",
            (Query(f"min(tocsin_clock_synchronized{{{I}}})", "kept right"),),
            3,
            6,
            words=RIGHT,
        ),
        Panel(
            "Clock set in 24 h",
            Kind.STAT,
            "How often the clock was set by more than a second, or the machine slept. Once after a start is"
            " normal.",
            (Query(f"round(sum(increase(tocsin_clock_jumps_total{{{I}}}[24h])))", "jumps"),),
            3,
            6,
            "none",
            steps=((3, Colour.LOOK),),
        ),
        Panel(
            "Configuration",
            Kind.STAT,
            "Whether what was last read is what runs. If not, a restart would fail: tocsin check says why.",
            (Query(f"min(tocsin_config_last_reload_successful{{{I}}})", "runs as read"),),
            3,
            6,
            words=RIGHT,
        ),
        Panel(
            "Daemons",
            Kind.TABLE,
            "The version of each daemon, when it was started, and when its configuration was last taken"
            " over.",
            (
                Query(f"sum by (instance, version) (tocsin_build_info{{{I}}})", "is"),
                Query(
                    f'1000 * sum by (instance) (process_start_time_seconds{{job="tocsin", {I}}})',
                    "started",
                    "dateTimeFromNow",
                ),
                Query(
                    f"1000 * sum by (instance) (tocsin_config_last_reload_success_timestamp_seconds{{{I}}})",
                    "configured",
                    "dateTimeFromNow",
                ),
            ),
            12,
            5,
            hidden=("Time", "is"),
        ),
        Panel(
            "Reloads",
            Kind.CURVES,
            "What came of each reload of the configuration.",
            (Query(increase("tocsin_config_reloads_total", "result", I), "{{result}}"),),
            12,
            5,
            bars=True,
            stacked=True,
        ),
    ),
)

CAMERA = Row(
    "Camera $stream",
    (
        Panel(
            "Pictures a second",
            Kind.CURVES,
            "Pictures that come, those that go through the detector, and those that came damaged.",
            (
                Query(rate("tocsin_frames_received_total", "stream", S), "come"),
                Query(rate("tocsin_frames_analysed_total", "stream", S), "analysed"),
                Query(rate("tocsin_frames_quarantined_total", "stream", S), "damaged"),
            ),
        ),
        Panel(
            "Age at the result",
            Kind.CURVES,
            "From the arrival of a picture to its result: half of them, and 99 of 100. The goal is 250 ms.",
            (
                Query(quantile(0.5, "tocsin_frame_age_seconds", "stream", S), "p50"),
                Query(quantile(0.99, "tocsin_frame_age_seconds", "stream", S), "p99"),
            ),
            unit="s",
        ),
        Panel(
            "Light",
            Kind.CURVES,
            "Brightness and contrast before correction, 0 to 255. Bright with little contrast is a veil: it"
            " is lifted.",
            (
                Query(f"max by (stream) (tocsin_light_luma{{{S}}})", "luma"),
                Query(f"max by (stream) (tocsin_light_contrast{{{S}}})", "contrast"),
            ),
            unit="none",
        ),
        Panel(
            "Correction",
            Kind.CURVES,
            "Pictures a second by what was done about their light.",
            (Query(f"{rate('tocsin_light_corrections_total', 'correction', S)} > 0", "{{correction}}"),),
            stacked=True,
            empty="no picture",
        ),
        Panel(
            "Sightings",
            Kind.CURVES,
            "Pictures a second that hold what a rule looks for, objects of its classes, and alarms withheld.",
            (
                Query(rate("tocsin_sightings_total", "rule", S), "sighted: {{rule}}"),
                Query(rate("tocsin_detections_total", "class", S), "seen: {{class}}"),
                Query(rate("tocsin_alarms_withheld_total", "reason", S), "alarm withheld: {{reason}}"),
            ),
        ),
        Panel(
            "Connection broke",
            Kind.CURVES,
            "Connections that broke or could not be made, by reason, silences, and processes that were"
            " replaced.",
            (
                Query(increase("tocsin_stream_disconnects_total", "reason", S) + " > 0", "broke: {{reason}}"),
                Query(
                    increase("tocsin_stream_connect_failures_total", "reason", S) + " > 0",
                    "failed: {{reason}}",
                ),
                Query(increase("tocsin_stream_stalls_total", "stream", S), "fell silent"),
                Query(increase("tocsin_stream_worker_restarts_total", "stream", S), "process replaced"),
            ),
            bars=True,
            stacked=True,
        ),
        Panel(
            "Damage",
            Kind.CURVES,
            "What came damaged: packets that never came (the network), packets that could not be decoded,"
            " jumps of the"
            " camera's own time, changes of the picture's size (the camera).",
            (
                Query(increase("tocsin_packets_lost_total", "stream", S), "packets lost"),
                Query(increase("tocsin_decode_errors_total", "stream", S), "not decoded"),
                Query(increase("tocsin_stream_pts_jumps_total", "stream", S), "time jumped"),
                Query(increase("tocsin_stream_resolution_changes_total", "stream", S), "size changed"),
            ),
            bars=True,
            stacked=True,
        ),
        Panel(
            "Evidence",
            Kind.CURVES,
            "Pictures and clips of alarms that were kept, and those that could not be.",
            (Query(increase("tocsin_evidence_total", "outcome", S), "{{outcome}}"),),
            bars=True,
            stacked=True,
        ),
        Panel(
            "Decoded by",
            Kind.STATES,
            "What decodes the stream.",
            (Query(f"max by (decoder) (tocsin_stream_decoder{{{S}}}) == 1", "{{decoder}}"),),
            words=(Word(1, 1, "in use", Colour.FINE),),
        ),
    ),
    repeat="stream",
)

ROWS = (GLANCE, CAMERAS, VERDICTS, DETECTOR, DELIVERY, SYSTEM, CAMERA)
