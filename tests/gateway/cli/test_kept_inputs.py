"""No command writes a file in the place of one of its inputs, however the file is spelled."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pandapower as pp
import pytest
from command_line import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from presence import there
from profile_tables import POWERS_W, net_with_generators, scenario_text, write_table

from gateway.cli.main import app
from gateway.errors import GatewayError
from gateway.formats.atomic_files import KeptInputs, replacing
from gateway.formats.faults import InputFaults
from gateway.formats.input_files import files_named_by
from gateway.plots.style import save_figure
from gateway.runs.folder.jobs import JOB_LOG, jobs_in

SCENARIO = """
[network]
source = "net.json"
[profiles]
powers = "powers.csv"
[intervals]
limits_file = "limits.png"
"""
HIERARCHY = """
[operators.tso]
network = { source = "net.json" }
[operators.rural]
network = { source = "feeder.json" }
"""
FILES = {
    "day.json": SCENARIO,
    "tree.json": HIERARCHY,
    **dict.fromkeys(("net.json", "feeder.json", "powers.csv", "limits.png"), "an input"),
    **dict.fromkeys(("r.json", "r.csv", "orders.json", "journal.json"), "an input"),
    "traffic_light.csv": "an input",
    "network.png": "an input",
}

OF_DAY = ("day.json", "net.json")
# A command and its inputs, the option of the output, and inputs that it might overwrite.
CASES: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = [
    (("allocate", "day.json"), "-o", (*OF_DAY, "powers.csv")),
    (("allocate", "day.json"), "--certificate", OF_DAY),
    (("verify", "day.json", "r.json"), "-o", (*OF_DAY, "r.json")),
    (("fairness", "day.json"), "-o", OF_DAY),
    (("topology", "day.json"), "--output", OF_DAY),
    (("simulate", "day.json", "orders.json"), "-o", (*OF_DAY, "orders.json")),
    (("report", "day.json", "orders.json"), "-o", (*OF_DAY, "orders.json")),
    (("report", "day.json", "orders.json"), "--plot", ("limits.png",)),
    (("replay", "journal.json"), "-o", ("journal.json",)),
    (("statements", "journal.json"), "-o", ("journal.json",)),
    (("statements", "r.csv", "--csv"), "-o", ("r.csv",)),
    (("hierarchy", "tree.json"), "-o", ("tree.json", "net.json", "feeder.json")),
    (("contract", "tree.json", "rural"), "-o", ("feeder.json",)),
    (("contract", "tree.json", "rural"), "--plot", ("feeder.json",)),
    (("plot", "r.json", "--scenario", "day.json"), "-o", ("limits.png",)),
]

Spelling = Callable[[Path], Path]


def hard_link(path: Path) -> Path:
    other = path.with_name(f"hard-{path.name}")
    other.hardlink_to(path)
    return other


def symbolic_link(path: Path) -> Path:
    other = path.with_name(f"link-{path.name}")
    other.symlink_to(path.name)
    return other


def through_linked_folder(path: Path) -> Path:
    other = path.parent.parent / "elsewhere"
    other.symlink_to(path.parent, target_is_directory=True)
    return other / path.name


def relative(path: Path) -> Path:
    return Path(os.path.relpath(path))


def roundabout(path: Path) -> Path:
    return path.parent / ".." / path.parent.name / path.name


SPELLINGS: tuple[Spelling, ...] = (
    Path,
    relative,
    roundabout,
    symbolic_link,
    hard_link,
    through_linked_folder,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = tmp_path / "area"
    inner.mkdir()
    for name, text in FILES.items():
        (inner / name).write_text(text)
    return inner


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda each: each.__name__)
@pytest.mark.parametrize(
    ("command", "option", "target"),
    [(command, option, each) for command, option, targets in CASES for each in targets],
)
def test_an_output_in_the_place_of_an_input_is_refused_before_anything_is_read(
    folder: Path, command: tuple[str, ...], option: str, target: str, spelling: Spelling
) -> None:
    output = spelling(folder / target)
    before = contents(folder)
    inputs = [folder / word if word in FILES else word for word in command]
    for arguments in ([*inputs, option, output], [inputs[0], option, output, *inputs[1:]]):
        result = run(*arguments)
        assert result.exit_code == 2
        told = " ".join(result.stderr.split())
        assert f"error: {output} has 1 fault: file: it cannot be written: it is an input" in told
        assert f"{folder}" in told
        assert contents(folder) == before


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (("outputs", "day.json", "r.json"), "traffic_light.csv"),
        (("plot", "r.json", "--scenario", "day.json"), "network.png"),
    ],
)
def test_files_in_a_folder_of_results_are_no_inputs(
    folder: Path, command: tuple[str, ...], named: str
) -> None:
    (folder / "day.json").write_text(f'[intervals]\nlimits_file = "{named}"\n')
    (folder / "r.json").write_text(
        '{"intervals": [{"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z",'
        ' "envelopes": [{"connection_point": "load:0", "injection_limit_w": 1,'
        ' "withdrawal_limit_w": 1}]}]}'
    )
    before = contents(folder)
    result = run(*(folder / word if word in FILES else word for word in command), "-o", folder)
    assert result.exit_code == 2
    assert f"{named} has 1 fault: file: it cannot be written" in " ".join(result.stderr.split())
    assert contents(folder) == before


def test_two_results_are_not_one_file(folder: Path) -> None:
    for name in ("new.json", "old.json"):
        output = folder / name
        if name.startswith("old"):
            output.write_text("a result of before")
        options = ["-o", output, "--certificate", relative(output)]
        result = run("allocate", folder / "day.json", *options)
        assert result.exit_code == 2
        assert "two results of this command have this name" in result.stderr
        assert not output.exists() or output.read_text() == "a result of before"


def test_a_bundled_file_is_not_overwritten() -> None:
    from gateway.formats.input_files import bundled

    net = bundled("semiurb4.json")
    before = net.read_bytes()
    result = run("allocate", "bundled:reference", "-o", net)
    assert result.exit_code == 2
    assert "it is a file that ships with the program" in result.stderr
    assert net.read_bytes() == before


def test_every_file_of_every_command_has_its_role() -> None:
    """A file is read or written: the callback of its parameter says so."""
    words = {"SCENARIO", "HIERARCHY", "ENVELOPES", "ORDERS", "JOURNAL", "SOURCE"}
    # A folder, to which the journal's server writes.
    without = {("serve", "data"), ("accept_loss", "data")}
    found = set()
    for command in app.registered_commands:
        function = command.callback
        assert function is not None
        name = function.__name__
        for parameter, hint in get_type_hints(function, include_extras=True).items():
            kind, *details = get_args(hint) or (hint,)
            (told,) = details or (None,)
            if kind in (Path, Path | None) or getattr(told, "metavar", None) in words:
                found.add(name)
                has_role = getattr(told, "callback", None) is not None
                assert has_role != ((name, parameter) in without), (name, parameter)
    assert found == {str(there(each.callback).__name__) for each in app.registered_commands}


@pytest.fixture(scope="module")
def opened() -> Iterator[list[str]]:
    """The paths of all files that Python opens to read them, while the list is in use."""
    paths: list[str] = []
    active = [True]

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if active and event == "open" and isinstance(arguments[0], str):
            mode = arguments[1]
            if mode is None or "r" in str(mode):
                paths.append(arguments[0])

    sys.addaudithook(note)  # there is no way to remove one
    yield paths
    active.clear()


def test_the_files_that_a_scenario_names_are_all_that_it_reads(
    tmp_path: Path, opened: list[str]
) -> None:
    (tmp_path / "sub").mkdir()
    pp.to_json(net_with_generators(), str(tmp_path / "net.json"))
    write_table(tmp_path / "powers.csv", {"sgen:1": [5_000, 30_000]})
    write_table(tmp_path / "sub" / "caps.csv", {"load:1.injection_w": [0, 700]})
    (tmp_path / "limits.csv").write_text("start,injection_limit_w\n2016-05-02T00:00:00Z,40000\n")
    text = scenario_text(2, f'{POWERS_W}capacities = "sub/caps.csv"\n')
    text = text.replace("[intervals]\n", '[intervals]\nlimits_file = "limits.csv"\n')
    path = tmp_path / "day.toml"
    path.write_text(text)
    opened.clear()
    assert run("allocate", path, "-o", tmp_path / "r.csv").exit_code == 0
    read = {Path(each) for each in opened if Path(each).is_relative_to(tmp_path)}
    read = {each for each in read if each.suffix != ".tmp"}
    named = {path, *files_named_by(path)}
    assert read == named
    assert len(named) == 5


def test_files_of_an_opendss_circuit_are_named_with_spaces_and_backslashes(tmp_path: Path) -> None:
    (tmp_path / "sub folder").mkdir()
    path = tmp_path / "a.toml"
    path.write_text("[network]\nsource = 'master.dss'\n")
    (tmp_path / "master.dss").write_text('Redirect "sub folder\\lines.txt"\n')
    (tmp_path / "sub folder" / "lines.txt").write_text("New Loadshape.s mult=(file=my shape.csv)\n")
    (tmp_path / "sub folder" / "shape.csv").write_text("1")
    assert {each.name for each in files_named_by(path)} == {"master.dss", "lines.txt", "shape.csv"}


@settings(max_examples=80, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.data())
def test_what_is_kept_is_what_the_system_calls_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("links")
    paths = [folder / "0"]
    paths[0].write_text("0")
    for k in range(1, data.draw(st.integers(1, 7))):
        new, old = folder / str(k), data.draw(st.sampled_from(paths))
        kind = data.draw(st.sampled_from(["own", "hard", "soft"]))
        if kind == "own":
            new.write_text(str(k))
        elif kind == "hard":
            new.hardlink_to(old.resolve())
        else:
            new.symlink_to(old.name)
        paths.append(new)
    inputs = data.draw(st.lists(st.sampled_from(paths), unique=True))
    output = data.draw(st.sampled_from([*paths, folder / "new"]))
    same = any(output.exists() and output.samefile(each) for each in inputs)
    output_first = data.draw(st.booleans())
    kept = KeptInputs()

    def declare() -> None:
        if output_first:
            kept.claim(output)
        for each in inputs:
            kept.keep(each, "an input")
        if not output_first:
            kept.claim(output)

    if same:
        with pytest.raises(InputFaults, match="it is an input"):
            declare()
    else:
        declare()
        kept.refuse(output)


@pytest.mark.parametrize("link", [symbolic_link, hard_link, Path])
def test_a_folder_run_refuses_its_inputs(tmp_path: Path, link: Spelling) -> None:
    """The envelopes of ``b.toml``, the job log, and a scenario that ends in ``.json``."""
    folder, results = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    results.mkdir()
    (folder / "b.toml").write_text("")
    for target in ("b.json", JOB_LOG):
        source = folder / "source.json"
        source.write_text("a network")
        (folder / "a.toml").write_text("[network]\nsource = 'source.json'\n")
        spelled = link(source)
        output = results / target
        if spelled != source:
            spelled.rename(output) if link is hard_link else output.symlink_to(source)
            with pytest.raises(InputFaults, match=f"{target}.*overwrite this file, which a.toml"):
                jobs_in(folder, results)
            output.unlink()
            spelled.unlink(missing_ok=True)
        else:
            assert len(jobs_in(folder, results)) == 2


def test_a_picture_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    class Torn(Figure):
        def savefig(self, fname: Any, **_: Any) -> None:
            Path(fname).write_bytes(b"half a picture")
            raise OSError(28, "No space left on device")

    path = tmp_path / "p.png"
    path.write_bytes(b"old")
    with pytest.raises(InputFaults, match="no space left"):
        save_figure(Torn(), path)
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["p.png"]
    save_figure(Figure(), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    for name in ("p.nothing", "p"):
        with pytest.raises(GatewayError, match=r"be drawn: its name must end in one of .*png"):
            save_figure(Figure(), tmp_path / name)


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """Also where it leads to a file, as /dev/stdout does after ``> FILE``."""
    with (tmp_path / "redirected").open("w") as stream:
        device = Path(f"/dev/fd/{stream.fileno()}")
        with replacing(device) as path:
            assert path == device
            path.write_text("a result")
    assert (tmp_path / "redirected").read_text() == "a result"
