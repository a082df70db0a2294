"""The log's form, read back."""

from __future__ import annotations

import io
import json
import logging
from datetime import UTC, datetime, timedelta

from gateway.operations.logs import LogFormat, logs_written


def logged(form: LogFormat) -> str:
    stream = io.StringIO()
    log = logging.getLogger("gateway.service")
    with logs_written(form, "warning", stream):
        log.info("not shown")
        log.warning("queue of %s has %d messages", "p0", 3)
        password = "se" + "cret"
        try:
            raise ZeroDivisionError("a bug" * bool(password))
        except ZeroDivisionError:
            log.exception("a command failed")
    return stream.getvalue()


def test_logs_go_where_they_went_before_when_it_is_over() -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    with logs_written("json", "error", stream):
        assert root.level == logging.ERROR
    logging.getLogger("gateway.service").error("after it")
    assert (root.handlers, root.level) == (handlers, level)
    assert not stream.getvalue()


def test_json_has_one_object_a_record_with_time_level_and_place() -> None:
    text = logged("json")
    first, second = map(json.loads, text.splitlines())
    assert "secret" not in text, "local variables are not logged"
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "queue of p0 has 3 messages",
        "level": "warning",
        "logger": "gateway.service",
    }
    assert datetime.now(UTC) - datetime.fromisoformat(second["timestamp"]) < timedelta(minutes=1)
    assert second["exception"][0]["exc_type"] == "ZeroDivisionError"


def test_text_has_time_level_and_trace() -> None:
    text = logged("text")
    first = text.splitlines()[0]
    assert first.startswith(f"{datetime.now(UTC):%Y-%m-%d}")
    assert "warning" in first
    assert "queue of p0 has 3 messages" in first
    assert "ZeroDivisionError: a bug" in text
    assert 'log.info("not shown")' not in first
    assert "secret" not in text, "local variables are not logged"
    assert "\x1b" not in text
