"""Opens the detector of a configuration, sees that it is what the rules need, and warms it."""

import structlog

from tocsin import assembly, reference
from tocsin.config.load import Config, placed
from tocsin.detect.detector import ACCELERATORS, Detector, open_detector
from tocsin.detect.keeper import Kept
from tocsin.detect.session import Device
from tocsin.errors import ConfigError, ModelError, StartError

log = structlog.get_logger(__name__)


def warm_detector(config: Config) -> Kept:
    """Return the configured detector, which knows the classes of all rules and has run, with its reference picture.

    With `device: auto` it is on the CPU, and `degraded`, where an accelerator opens the model and cannot run it.
    Raises ModelError, ConfigError and StartError, with the place in the configuration.
    """
    settings, floor = config.detector, assembly.score_floor(config)

    def open_on(device: Device) -> Detector:
        detector = open_detector(settings.model, device, settings.max_batch, floor)
        if faults := assembly.unknown_classes(config, detector.labels):
            raise ConfigError(*faults)
        try:
            _warm(detector)
        except ModelError as error:
            if device != "auto" or detector.device not in ACCELERATORS:
                raise
            why = f"{detector.provider} cannot run the model: {error}"
            detector = open_on("cpu")  # where a model that cannot run anywhere fails too
            detector.degraded = why
        return detector

    device, model = ("detector", "device"), ("detector", "model")
    with placed(config, device, StartError), placed(config, model, ModelError):
        detector = open_on(settings.device)
        return Kept(detector, settings.device, open_on, reference.canary(settings.model, detector))


def _warm(detector: Detector) -> None:
    seconds = detector.warm()
    log.info(
        "the detector is warm",
        model=detector.model_name,
        provider=detector.provider,
        device=detector.device,
        nodes=detector.placement.nodes,
        accelerated=detector.placement.accelerated,
        batch=detector.max_batch,
        seconds=round(seconds, 2),
    )
