"""What the figures of `tocsin evaluate` mean, in words, out of the constants that make them."""

from tocsin.evaluate.alarms import LABELS_LAST, OVERLAP
from tocsin.evaluate.matching import Size
from tocsin.evaluate.rules import rule_for_each
from tocsin.evaluate.scores import HIGH_FROM, LOW_BELOW
from tocsin.evaluate.variants import VARIANTS
from tocsin.footage.camera import MAX_FPS
from tocsin.footage.simulate import WORDS

Entries = list[tuple[str, str]]


def sections() -> list[tuple[str, Entries]]:
    """Return the titles and definitions in the order in which they are shown."""
    return [
        ("Variants", [(variant.name, variant.means) for variant in VARIANTS.values()]),
        ("Simulated light (comma: another light; slash: one after the other)", _conditions()),
        ("Scores", _scores()),
        ("Alarms", _alarms()),
        ("Labels", _labels()),
    ]


def _conditions() -> Entries:
    entries = []
    for word in WORDS.values():
        takes = f"{word.lowest:g} to {word.highest:g}: " if word.lowest < word.highest else ""
        entries.append((word.word, f"{takes}{word.does}"))
    return entries


def _scores() -> Entries:
    return _entries(
        f"""
        matching = as COCO: best score first, each detection takes the object of its class that
        it overlaps most, among those that are free and that it overlaps by --iou or more; boxes
        marked iscrowd count for nothing
        size = by the object's area in pixels of the labelled picture, as COCO: small below
        {_side(Size.SMALL)}, medium below {_side(Size.MEDIUM)}, large from there on
        light = of each picture before correction, by its mean luma from 0 to 255: high from
        {HIGH_FROM:g}, low below {LOW_BELOW:g}, medium between; artificial where it has no
        colour (infrared), or the labels say so
        interval = 95 %, paired bootstrap over pictures; over scenes where there are several
        videos, or the labels name scenes; an image without the name of one is its own
        """
    )


def _side(size: Size) -> str:
    below = round(size.areas[1] ** 0.5)
    return f"{below}x{below}"


def _alarms() -> Entries:
    rule = rule_for_each(["one"], 0.5)[0]
    return _entries(
        f"""
        rules = without --rules one for each labelled class: --score, {rule.hits} of {rule.of}
        frames within {rule.within:g} s, end_after {rule.end_after:g} s, {MAX_FPS:g} frames a
        second; it is the daemon's own code that watches
        of --rules = all that a rule asks for counts: zones, masks, exclude, limits, near,
        confirm, keep_score, cooldown, stationary; but schedule (it is on duty all the time),
        latch (nobody gives a verdict) and tier (each rule is looked at by itself)
        scene = one appearance of an object of the rule's classes in its zones: of each track_id
        where the labels have it, else of any; a pause as long as the rule's end_after begins
        another
        delay = from the first labelled picture of a scene to the alarm, and to the first
        sighting, which is the delay of a rule that confirms nothing; only what was seen of that
        object counts
        false alarm = raised by what overlaps no labelled object of the rule's classes by
        {OVERLAP:g} (IoU) or more, ignored ones included; on negative footage every alarm is
        an hour = with its exact 95 % Poisson interval
        """
    )


def _labels() -> Entries:
    return _entries(
        f"""
        COCO = the id of an image is the number of the frame, from 0; in a folder its file_name
        counts. What is not listed is not scored; what is listed without boxes shows nothing.
        For alarms the labels of a picture stand for {LABELS_LAST:g} s
        further = track_id of an annotation; light (high, medium, low, artificial) and scene of
        an image; checked of an image, a list of bbox and category_id: there was looked and
        nowhere else, so of what is seen in it only that counts which overlaps one by --iou
        """
    )


def _entries(text: str) -> Entries:
    """Split a text into its entries: a line that holds ` = ` begins one."""
    entries: Entries = []
    for line in text.strip().splitlines():
        word, begins, rest = line.strip().partition(" = ")
        if begins:
            entries.append((word, rest))
        else:
            entries[-1] = entries[-1][0], f"{entries[-1][1]} {line.strip()}"
    return entries
