"""A folder of networks: each by itself, whatever becomes of the others or of the machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.errors import GatewayError
from gateway.formats.atomic_files import replacing
from gateway.formats.faults import InputFaults
from gateway.runs.folder.job_log import JOB_LOG, left_to_do, open_job_log
from gateway.runs.folder.jobs import Job, JobOutcome, allocate_job, digest_of, jobs_in
from gateway.runs.folder.runners import run_in_processes, run_on_dask

SCENARIO = """
[network]
source = "pandapower:simple_four_bus_system"
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = {capacity_w}
withdrawal_w = {capacity_w}
"""


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def a_folder(folder: Path, names: str, more: str = "") -> Path:
    """Write a scenario for each letter, in folders of their own for capitals."""
    for number, name in enumerate(names):
        path = folder / (f"{name}/{name}.toml" if name.isupper() else f"{name}.toml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SCENARIO.format(capacity_w=10_000 * (number + 1)) + more)
    return folder


def jobs_of(folder: Path, results: Path) -> list[Job]:
    results.mkdir(exist_ok=True)
    return jobs_in(folder, results)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allocate in this process, where other processes are of no matter: they start slowly."""

    def run_here(jobs: list[Job], processes: int) -> Iterator[JobOutcome]:
        yield from map(allocate_job, jobs)

    monkeypatch.setattr("gateway.runs.folder.allocation.run_in_processes", run_here)


def die_at_b(job: Job) -> JobOutcome:
    if job.name == "b.toml":
        os.kill(os.getpid(), signal.SIGKILL)
    return JobOutcome(name=job.name, digest=job.digest)


def slowly(job: Job) -> JobOutcome:
    time.sleep(0.05)
    return JobOutcome(name=job.name, digest=job.digest)


@pytest.mark.slow
def test_a_folder_gives_what_each_scenario_gives_by_itself(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "in", "abC")
    result = run("allocate", folder, "-o", tmp_path / "out", "-p", 2)
    assert result.exit_code == 0
    assert "3 networks: 3 allocated, 0 failed" in result.stdout
    for name in ("a", "b", "C/C"):
        alone = tmp_path / "alone.json"
        assert run("allocate", folder / f"{name}.toml", "-o", alone).exit_code == 0
        assert (tmp_path / "out" / f"{name}.json").read_bytes() == alone.read_bytes()


@pytest.mark.usefixtures("here")
def test_a_failed_network_is_reported_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "in", "ac")
    (folder / "b.toml").write_text("[network]\nsource = 'nowhere.json'\n")
    # No customer can withdraw 8 MW there, and each must have the fallback.
    (folder / "d.toml").write_text(
        SCENARIO.format(capacity_w=9_000_000) + "fallback_withdrawal_w = 8000000\n"
    )
    result = run("allocate", folder, "-o", tmp_path / "out", "-p", 1, "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert [each["name"] for each in summary["failed"]] == ["b.toml", "d.toml"]
    assert any("nowhere.json" in fault for fault in summary["failed"][0]["faults"])
    assert "with every limit at its lower bound" in summary["failed"][1]["faults"][0]
    assert summary["allocated"] == 2
    assert {path.name for path in (tmp_path / "out").glob("*.json")} == {"a.json", "c.json"}


def test_what_is_done_is_not_done_again_unless_its_inputs_changed(tmp_path: Path) -> None:
    folder = a_folder(
        tmp_path / "in", "ab", "[intervals]\nstart = 2026-07-01T00:00:00Z\nlimits_file = 'l.csv'\n"
    )
    (folder / "l.csv").write_text("start,injection_limit_w\n2026-07-01T00:00:00Z,5000\n")
    out = tmp_path / "out"
    jobs = jobs_of(folder, out)
    with open_job_log(out) as ledger:
        for job in jobs:
            outcome = allocate_job(job)
            assert not outcome.faults
            ledger.write(outcome)
    assert left_to_do(jobs_of(folder, out), out / JOB_LOG)[0] == []
    (out / "a.json").unlink()
    assert [job.name for job in left_to_do(jobs_of(folder, out), out / JOB_LOG)[0]] == ["a.toml"]
    # A file that both scenarios name.
    (folder / "l.csv").write_text("start,injection_limit_w\n2026-07-01T00:00:00Z,4000\n")
    assert len(left_to_do(jobs_of(folder, out), out / JOB_LOG)[0]) == 2


def test_what_failed_is_tried_again(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "in", "a")
    jobs = jobs_of(folder, tmp_path)
    with open_job_log(tmp_path) as ledger:
        ledger.write(JobOutcome(name="a.toml", digest=jobs[0].digest, faults=["no disk"]))
    jobs[0].result.write_text("")
    assert left_to_do(jobs, tmp_path / JOB_LOG) == (jobs, [])


def test_a_line_cut_off_by_a_crash_is_done_again_and_leaves_the_others_readable(
    tmp_path: Path,
) -> None:
    jobs = jobs_of(a_folder(tmp_path / "in", "ab"), tmp_path)
    whole = [JobOutcome(name=job.name, digest=job.digest) for job in jobs]
    for job in jobs:
        job.result.write_text("")
    with open_job_log(tmp_path) as ledger:
        ledger.write(whole[0])
        ledger.write(whole[1])
    path = tmp_path / JOB_LOG
    path.write_bytes(path.read_bytes()[:-20])
    assert left_to_do(jobs, path) == ([jobs[1]], [whole[0]])
    with open_job_log(tmp_path) as ledger:
        ledger.write(whole[1])
    assert left_to_do(jobs, path) == ([], whole)


def test_a_ledger_that_is_none_and_a_folder_in_use_are_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "in", "a")
    (tmp_path / JOB_LOG).write_text("what is this\n")
    with pytest.raises(InputFaults, match="line 1: it is not the outcome of a job"):
        left_to_do([], tmp_path / JOB_LOG)
    with (
        open_job_log(tmp_path / "out"),
        pytest.raises(InputFaults, match="another process is writing"),
        open_job_log(tmp_path / "out"),
    ):
        pass
    result = run("allocate", folder)
    assert result.exit_code == 2
    assert "needs a folder for the results" in result.stderr
    (tmp_path / "empty").mkdir()
    result = run("allocate", tmp_path / "empty", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "it holds no scenario" in result.stderr
    result = run("allocate", folder / "a.toml", "-p", 2)
    assert result.exit_code == 2
    assert "are for a folder" in result.stderr
    result = run("allocate", folder, "-o", folder / "a.toml")
    assert result.exit_code == 2
    assert "it cannot be written to" in result.stderr


def test_the_digest_takes_names_of_files_as_such_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("area = 'a'\n[network]\nsource = 'net.json'\n[x]\ny = ['deep.csv', 3]\n")
    digests = {digest_of(path)}
    for name in ("net.json", "deep.csv"):
        (tmp_path / name).write_text("1")
        digests.add(digest_of(path))
    (tmp_path / "other.json").write_text("1")
    digests.add(digest_of(path))
    assert len(digests) == 3


@pytest.mark.parametrize("processes", [1, 3])
def test_a_process_that_dies_fails_no_other_job(tmp_path: Path, processes: int) -> None:
    jobs = jobs_of(a_folder(tmp_path / "in", "abcdef"), tmp_path / "out")
    with closing(run_in_processes(jobs, processes, die_at_b)) as running:
        outcomes = {outcome.name: outcome.faults for outcome in running}
    assert set(outcomes) == {job.name for job in jobs}
    assert [name for name, faults in outcomes.items() if faults] == ["b.toml"]
    assert "its process ended without an answer" in outcomes["b.toml"][0]


def test_jobs_are_taken_as_there_is_room_for_them(tmp_path: Path) -> None:
    jobs = jobs_of(a_folder(tmp_path / "in", "abcdefghijkl"), tmp_path / "out")
    taken = []

    def watched() -> Iterator[Job]:
        for job in jobs:
            taken.append(job)
            yield job

    came = 0
    for _ in run_in_processes(watched(), 2, slowly):
        came += 1
        assert len(taken) <= came + 3  # two jobs for each of two processes, one of which has come
    assert came == len(jobs)


WRITES = """
import os, sys, time
from pathlib import Path
from gateway.formats.atomic_files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    time.sleep(600)
"""


@pytest.mark.usefixtures("here")
def test_what_a_killed_process_had_begun_to_write_is_removed_at_the_next_start(
    tmp_path: Path,
) -> None:
    folder, out = a_folder(tmp_path / "in", "aB"), tmp_path / "out"
    (out / "B").mkdir(parents=True)
    writers, begun = [], []
    for name in ("a.json", "B/B.csv", "a.parquet"):
        command = [sys.executable, "-c", WRITES, str(out / name)]
        writers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stream = writers[-1].stdout
        assert stream is not None
        begun.append(Path(stream.readline().strip()))
    others = out / ".a.json.tmp"
    try:
        for writer in writers[:-1]:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        others.write_text("not ours")
        assert all(path.is_file() for path in begun)
        assert run("allocate", folder, "-o", out, "-p", 1).exit_code == 0
        assert [path.is_file() for path in begun] == [False, False, True]
        assert others.is_file()
        assert {path.name for path in out.rglob("*.json")} == {"a.json", "B.json"}
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    # Started again with nothing left to do.
    assert run("allocate", folder, "-o", out, "-p", 1).exit_code == 0
    assert sorted(path.name for path in out.rglob("*.tmp")) == [".a.json.tmp"]


def test_a_file_left_by_a_process_of_the_same_number_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / f".a.json.{os.getpid()}.tmp").write_text("half")
    with replacing(tmp_path / "a.json") as temporary:
        assert temporary.read_text() == ""
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "whole"


@pytest.mark.slow
def test_a_kill_loses_nothing_and_leaves_no_process_behind(tmp_path: Path) -> None:
    folder, out = a_folder(tmp_path / "in", "abcdefgh"), tmp_path / "out"
    command = [sys.executable, "-m", "gateway.cli.main", "allocate", str(folder), "-o", str(out)]
    command += ["--processes", "2"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ledger = out / JOB_LOG
    while not ledger.exists() or ledger.read_bytes().count(b"\n") < 2:
        assert first.poll() is None
        time.sleep(0.01)
    children = psutil.Process(first.pid).children(recursive=True)
    assert children
    first.send_signal(signal.SIGKILL)
    first.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    lines = ledger.read_bytes().split(b"\n")[:-1]
    assert 2 <= len(lines) < 8
    done = {json.loads(line)["name"] for line in lines}
    before = {name: (out / name).with_suffix(".json").stat().st_mtime_ns for name in done}
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{8 - len(done)} allocated, {len(done)} done before, 0 failed" in second.stdout
    assert before == {name: (out / name).with_suffix(".json").stat().st_mtime_ns for name in done}
    assert len(list(out.glob("*.json"))) == 8
    assert not list(out.glob("*.tmp"))


@pytest.mark.slow
# Dask warns of ports in use and of time spent; raised in its threads, that would stop them.
@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_gives_the_same_and_survives_the_same(tmp_path: Path) -> None:
    from distributed import LocalCluster

    folder, here = a_folder(tmp_path / "in", "abcd"), tmp_path / "here"
    (folder / "e.toml").write_text("[network]\nsource = 'nowhere.json'\n")
    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None
    ) as cluster:
        there = tmp_path / "there"
        result = run("allocate", folder, "-o", there, "--scheduler", cluster.scheduler_address)
        assert result.exit_code == 1
        assert "5 networks: 4 allocated, 1 failed" in result.stdout
        run("allocate", folder, "-o", here, "-p", 2)
        for name in "abcd":
            assert (there / f"{name}.json").read_bytes() == (here / f"{name}.json").read_bytes()
        again = run("allocate", folder, "-o", there, "--scheduler", cluster.scheduler_address)
        assert "0 allocated, 4 done before, 1 failed" in again.stdout
        jobs = jobs_of(folder, tmp_path / "dead")
        with closing(run_on_dask(jobs, cluster.scheduler_address, die_at_b)) as running:
            outcomes = {outcome.name: outcome.faults for outcome in running}
        assert [name for name, faults in outcomes.items() if faults] == ["b.toml"]
        assert len(outcomes) == 5


def test_an_address_where_no_scheduler_answers_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.runs.folder.runners._CONNECT_S", 0.2)
    with pytest.raises(GatewayError, match="no Dask scheduler answers at tcp://127"):
        next(run_on_dask(jobs_of(a_folder(tmp_path, "a"), tmp_path / "out"), "tcp://127.0.0.1:9"))
    folder = a_folder(tmp_path / "in", "a")
    result = run("allocate", folder, "-o", tmp_path / "x", "--scheduler", "tcp://127.0.0.1:9")
    assert result.exit_code == 2


def test_a_result_never_takes_the_place_of_an_input(tmp_path: Path) -> None:
    """``village.toml`` names ``village.json``, which is where its envelopes would go."""
    folder = a_folder(tmp_path, "ab")
    text = (folder / "a.toml").read_text()
    (folder / "a.toml").write_text(text.replace("pandapower:simple_four_bus_system", "b.json"))
    (folder / "b.json").write_text("a network")
    result = run("allocate", folder, "-o", folder)
    assert result.exit_code == 2
    assert "the envelopes of b.toml would overwrite this file, which a.toml" in (
        " ".join(result.stderr.split())
    )
    assert (folder / "b.json").read_text() == "a network"
    assert len(jobs_in(folder, folder, ".csv")) == 2


@pytest.mark.usefixtures("here")
def test_a_network_that_fails_now_keeps_no_envelopes_of_before(tmp_path: Path) -> None:
    folder, out = a_folder(tmp_path / "in", "ab"), tmp_path / "out"
    assert run("allocate", folder, "-o", out, "-p", 1).exit_code == 0
    (folder / "a.toml").write_text("[network]\nsource = 'nowhere.json'\n")
    assert run("allocate", folder, "-o", out, "-p", 1).exit_code == 1
    assert not (out / "a.json").exists()
    assert (out / "b.json").exists()


@pytest.mark.usefixtures("here")
def test_what_was_done_in_one_format_is_not_done_in_another(tmp_path: Path) -> None:
    """Else JSON of old inputs would pass for done once CSV of the new ones is."""
    folder, out = a_folder(tmp_path / "in", "a"), tmp_path / "out"
    assert run("allocate", folder, "-o", out, "-p", 1).exit_code == 0
    before = (out / "a.json").read_bytes()
    (folder / "a.toml").write_text(SCENARIO.format(capacity_w=5_000))
    for fmt in ("csv", "json"):
        result = run("allocate", folder, "-o", out, "-p", 1, "--format", fmt)
        assert "1 allocated" in result.stdout
    assert (out / "a.json").read_bytes() != before


def test_the_digest_covers_what_an_opendss_file_redirects_to(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[network]\nsource = 'master.dss'\n")
    (tmp_path / "master.dss").write_text('clear\nRedirect "lines.dss"\nredirect master.dss\n')
    (tmp_path / "lines.dss").write_text("New Loadshape.s npts=2 mult=(file=shape.csv)\n")
    (tmp_path / "shape.csv").write_text("1")
    digests = {digest_of(path)}
    (tmp_path / "shape.csv").write_text("2")
    digests.add(digest_of(path))
    (tmp_path / "lines.dss").write_text("")
    digests.add(digest_of(path))
    assert len(digests) == 3


def test_what_is_for_a_folder_is_refused_of_a_file(tmp_path: Path) -> None:
    a_folder(tmp_path, "a")
    for option in (("--format", "csv"), ("-p", 1), ("--scheduler", "tcp://127.0.0.1:1")):
        result = run("allocate", tmp_path / "a.toml", *option)
        assert result.exit_code == 2
        assert "are for a folder of scenarios" in result.stderr
