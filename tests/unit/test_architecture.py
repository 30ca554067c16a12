"""The shape of the package: which way imports point, what a capture worker may load, and a few bans."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "daemon" / "tocsin"

# Each part may import itself and those of lower layers. Parts of one layer may import each other where it says so.
TOGETHER, APART = True, False
LAYERS = (
    (TOGETHER, "errors fields frame image memory resources scarcity thread yamlfile"),
    (APART, "alarm capture deliver detect evidence light"),
    (TOGETHER, "config"),
    (TOGETHER, "clock control endpoint floods http lifecycle logs metrics native sdnotify series"),
    (
        TOGETHER,
        (
            "alarms answering assembly auditor check custody desk eyesight lookout overrides plan reference reload "
            "report resume verdicts vigil warming watchdog"
        ),
    ),
    # For people: the daemon does not know them.
    (TOGETHER, "asking exits footage"),
    (APART, "augment evaluate lessons lightcard probe"),
    (APART, "commands"),
    # Whoever runs it all.
    (APART, "app"),
    (TOGETHER, "cli demo"),
    (APART, "__main__"),
)
# Light is corrected where the frame is decoded; these run in the worker, or tell it what to do.
EXCEPTIONS = {(f"capture.{name}", "light") for name in ("worker", "views", "order", "sampling", "darkroom")}
# Evidence is made where the packets are.
EXCEPTIONS |= {(f"capture.{name}", "evidence") for name in ("worker", "source", "darkroom")}

# What runs in a capture worker, once a stream: pydantic alone would cost each of them megabytes.
LEAN = (
    *("light.measure", "light.plan", "light.correct", "light.treat", "light.structure"),
    *("capture.worker", "capture.source", "capture.shrink", "capture.views"),
    *("capture.mailbox", "capture.reconnect", "capture.sampling"),
)
BANNED_NAMES = {"utils", "helpers", "common", "base", "manager"}
BROAD_HANDLERS = 4


@dataclass(frozen=True, slots=True)
class Import:
    """One import as it stands in a file: `of` is a module of the package by its short name, or a foreign one."""

    file: Path
    line: int
    of: str
    foreign: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: import of {self.of if self.foreign else f'tocsin.{self.of}'.rstrip('.')}"


def name_of(file: Path, package: Path) -> str:
    """Return the module's name below the package: `capture.worker`, `capture`, or nothing for the root."""
    parts = file.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def read(package: Path) -> dict[str, tuple[Path, ast.Module]]:
    """Parse every module of the package."""
    return {
        name_of(file, package): (file, ast.parse(file.read_text(encoding="utf-8")))
        for file in sorted(package.rglob("*.py"))
    }


def imports(modules: dict[str, tuple[Path, ast.Module]], name: str) -> Iterator[Import]:
    """Yield the imports of a module, wherever in it they stand."""
    file, tree = modules[name]
    folder = ["tocsin", *name.split(".")] if name else ["tocsin"]
    folder = folder if file.name == "__init__.py" else folder[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = folder[: len(folder) - node.level + 1] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            found = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for full in found:
            yield _resolved(modules, file, node.lineno, full)


def _resolved(modules: dict[str, tuple[Path, ast.Module]], file: Path, line: int, full: str) -> Import:
    if full.partition(".")[0] != "tocsin":
        return Import(file, line, full, foreign=True)
    short = full.partition(".")[2]
    # The last word may be a module or something inside one.
    return Import(file, line, short if short in modules else short.rpartition(".")[0], foreign=False)


def layer_of(name: str) -> int | None:
    """Return the layer of a module; None when it has no place."""
    part = name.partition(".")[0]
    if not part:  # the root of the package
        return 0
    return next((number for number, (_, parts) in enumerate(LAYERS) if part in parts.split()), None)


def wrong_directions(package: Path) -> list[str]:
    """Say which imports do not point down, and which modules have no layer."""
    modules = read(package)
    wrong = [
        f"{file}:1: no layer for {name}" for name, (file, _) in modules.items() if layer_of(name) is None
    ]
    for name in modules:
        up = (one for one in imports(modules, name) if not one.foreign and not may_import(name, one.of))
        wrong += [f"{one} is forbidden in tocsin.{name}" for one in up]
    return wrong


def may_import(name: str, other: str) -> bool:
    """Say whether a module may import another; those without a layer are reported elsewhere."""
    part, other_part = name.partition(".")[0], other.partition(".")[0]
    layer, other_layer = layer_of(name), layer_of(other)
    if part == other_part or layer is None or other_layer is None or (name, other_part) in EXCEPTIONS:
        return True
    if layer == other_layer:
        return LAYERS[layer][0]
    return other_layer < layer


def heavy_imports(package: Path) -> list[str]:
    """Say where modules of a capture worker load pydantic, or sections of the configuration, on whatever way."""
    modules = read(package)
    wrong = []
    for start in LEAN:
        seen, waiting = {start}, [start]
        while waiting:
            for one in imports(modules, waiting.pop()):
                if _is_heavy(one):
                    wrong.append(f"{one} is forbidden below tocsin.{start}, which runs in a capture worker")
                elif not one.foreign:
                    above = {one.of, one.of.rpartition(".")[0]} - seen
                    seen |= above
                    waiting += above
    return wrong


def _is_heavy(one: Import) -> bool:
    words = one.of.split(".")
    return words[0] == "pydantic" if one.foreign else words[-1] == "settings"


def eager_imports(package: Path) -> list[str]:
    """Say what the entry module imports before its function is called."""
    file, tree = read(package)["__main__"]
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    return [
        f"{file}:{node.lineno}: import at the top level of the entry module is forbidden: every worker repeats it"
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in inside
    ]


def broad_handlers(package: Path) -> list[str]:
    """Say where every exception is caught and not raised again."""
    return [
        f"{file}:{node.lineno}: except {ast.unparse(node.type) if node.type else 'without a type'}"
        for file, tree in read(package).values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _raises_again(node)
    ]


def _is_broad(caught: ast.expr | None) -> bool:
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(
        k is None or (isinstance(k, ast.Name) and k.id in ("Exception", "BaseException")) for k in kinds
    )


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def empty_names(package: Path) -> list[str]:
    """Say which files and folders have a name that says nothing."""
    return [f"{p}: a name that says nothing" for p in package.rglob("*") if p.stem in BANNED_NAMES]


def test_imports_point_one_way() -> None:
    """Every module imports only from the layers below its own."""
    assert wrong_directions(PACKAGE) == []


def test_workers_load_no_configuration() -> None:
    """Nothing that runs in a capture worker imports pydantic or a settings module, directly or through another."""
    assert heavy_imports(PACKAGE) == []


def test_the_entry_module_imports_nothing_at_top_level() -> None:
    """`tocsin.__main__` imports only inside its function."""
    assert eager_imports(PACKAGE) == []


def test_broad_handlers_are_few() -> None:
    """Fewer than five places catch every exception."""
    found = broad_handlers(PACKAGE)
    assert len(found) <= BROAD_HANDLERS, found


def test_names_say_something() -> None:
    """No module is called utils, helpers, common, base or manager."""
    assert empty_names(PACKAGE) == []


# The rules above, on small packages that break them.

SOUND = {
    "__init__.py": "",
    "__main__.py": "def main():\n    from tocsin.cli import run\n    run()\n",
    "errors.py": "",
    "fields.py": "import pydantic\n",
    "config/settings.py": "",
    "app.py": "from tocsin import http\nfrom tocsin.capture import worker\n",
    "cli.py": "import tocsin.app\n",
    "http.py": "from tocsin.errors import StartError\n",
    **{f"{name.replace('.', '/')}.py": "from tocsin import errors\n" for name in LEAN},
    "capture/worker.py": "import numpy\nfrom tocsin.light.plan import plan\nfrom .source import Source\n",
    "capture/settings.py": "from tocsin.fields import Section\n",
    "capture/__init__.py": "",
    "light/__init__.py": "",
}


def write(folder: Path, **changed: str) -> Path:
    for path, text in (SOUND | changed).items():
        file = folder / "tocsin" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder / "tocsin"


def everything(package: Path) -> list[str]:
    return [
        *wrong_directions(package),
        *heavy_imports(package),
        *eager_imports(package),
        *empty_names(package),
    ]


def test_a_sound_package_passes(tmp_path: Path) -> None:
    """The rules find nothing in a package that keeps them."""
    package = write(tmp_path)
    assert everything(package) == []
    assert broad_handlers(package) == []


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        pytest.param(
            "light/plan.py",
            "import math\nfrom tocsin.capture import worker\n",
            "light/plan.py:2: import of tocsin.capture.worker is forbidden in tocsin.light.plan",
            id="a middle package imports another",
        ),
        pytest.param(
            "capture/source.py",
            "from tocsin.light import plan\n",
            "capture/source.py:1: import of tocsin.light.plan is forbidden in tocsin.capture.source",
            id="capture beside its worker imports light",
        ),
        pytest.param(
            "http.py",
            "def f():\n    from .app import App\n",
            "http.py:2: import of tocsin.app is forbidden in tocsin.http",
            id="a relative import inside a function points up",
        ),
        pytest.param(
            "errors.py",
            "import tocsin.cli\n",
            "errors.py:1: import of tocsin.cli is forbidden in tocsin.errors",
            id="a foundation imports the command line",
        ),
        pytest.param("stray.py", "", "stray.py:1: no layer for stray", id="a module has no layer"),
        pytest.param(
            "light/measure.py",
            "from pydantic import BaseModel\n",
            "light/measure.py:1: import of pydantic.BaseModel is forbidden below tocsin.light.measure",
            id="pure light imports pydantic",
        ),
        pytest.param(
            "capture/worker.py",
            "from tocsin.capture.settings import SourceSettings\n",
            "capture/worker.py:1: import of tocsin.capture.settings is forbidden below tocsin.capture.worker",
            id="the worker imports its section of the configuration",
        ),
        pytest.param(
            "capture/source.py",
            "\nfrom tocsin.fields import Secret\n",
            "fields.py:1: import of pydantic is forbidden below tocsin.capture.source",
            id="the worker loads pydantic through another module",
        ),
        pytest.param(
            "capture/__init__.py",
            "from tocsin.capture.settings import SourceSettings\n",
            "capture/__init__.py:1: import of tocsin.capture.settings is forbidden below tocsin.capture.worker",
            id="the worker loads the configuration through its package",
        ),
        pytest.param(
            "__main__.py",
            "if True:\n    import os\ndef main(): ...\n",
            "__main__.py:2: import at the top level of the entry module is forbidden",
            id="the entry module imports at top level",
        ),
        pytest.param(
            "capture/utils.py", "", "capture/utils.py: a name that says nothing", id="an empty name"
        ),
    ],
)
def test_a_breach_is_named_with_its_place(tmp_path: Path, path: str, text: str, complaint: str) -> None:
    """A forbidden import is reported in a sentence that names the file, the line and the import."""
    found = everything(write(tmp_path, **{path: text}))
    assert any(complaint in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("handler", "count"),
    [
        ("except Exception:\n    pass", 1),
        ("except (ValueError, BaseException):\n    pass", 1),
        ("except:\n    pass", 1),
        ("except BaseException:\n    raise", 0),
        ("except ValueError:\n    pass", 0),
    ],
)
def test_broad_handlers_are_counted(tmp_path: Path, handler: str, count: int) -> None:
    """A handler of everything counts unless it ends by raising again."""
    package = write(tmp_path, **{"errors.py": f"try:\n    print()\n{handler}\n"})
    assert len(broad_handlers(package)) == count
