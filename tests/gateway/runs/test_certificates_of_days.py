"""The certificate of a day names the intervals that could not be secured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run
from profile_tables import time_of
from test_partial_days import COUNT, HEADING, TEXT, a_day

from tools import check_certificate

BANDS = {"secure": "0.98,1.02", "none": "0.98,1.13"}


@pytest.mark.parametrize(
    "wanted",
    [
        ["secure"] * 5,
        ["secure", "none", "secure", "none", "secure"],
        ["none"] * 5,
    ],
)
def test_the_checker_names_each_interval_that_is_not_secure(
    tmp_path: Path, wanted: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = a_day(tmp_path, 0), tmp_path / "certificate.json"
    path.write_text(TEXT.format(injection_w=1000, withdrawal_w=1000))
    lines = [f"{time_of(k)},{BANDS[status]},60000\n" for k, status in enumerate(wanted)]
    (tmp_path / "limits.csv").write_text(HEADING + "".join(lines))
    exit_code = 0 if set(wanted) == {"secure"} else 1
    assert run("allocate", path, "--certificate", file).exit_code == exit_code
    intervals = json.loads(file.read_text())["content"]["intervals"]
    assert [each["status"] for each in intervals] == wanted
    assert len(intervals) == COUNT
    capsys.readouterr()
    assert check_certificate.main(str(file)) == exit_code
    shown = capsys.readouterr().out
    for k, status in enumerate(wanted):
        named = f"interval {time_of(k)}: not secured ({status}): bus:"
        assert (named in shown) == (status != "secure")
    assert f"{wanted.count('none')} failures" in shown
    assert ("0 rows proved" in shown) == (set(wanted) == {"none"})
