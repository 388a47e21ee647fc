"""Bars on a terminal; in a log, lines that can be read while the command runs."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from sop_bench import cli_progress


def log() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=200, force_terminal=False), text


def test_a_log_says_how_far_a_phase_is_while_it_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cli_progress, "_LINE_EVERY_S", 0.01)
    console, text = log()
    with cli_progress.phases(console) as update:
        update("encoder", 500, 2000)
        deadline = time.monotonic() + 5
        while "500/2000" not in text.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "encoder: 500/2000 [25%, 0:0" in text.getvalue()
        update("encoder", 2000, 2000)
    assert "encoder: 2000/2000 [100%, 0:0" in text.getvalue()


def test_training_also_tells_its_recent_loss():
    console, text = log()
    with cli_progress.phases(console) as update:
        for step, loss in enumerate([8.0, 4.0, 3.0, 1.0], start=1):
            update("encoder", step, 4, loss)
    assert "encoder: 4/4, loss 4 [100%" in text.getvalue()


def test_a_loss_that_falls_is_followed():
    console, text = log()
    with cli_progress.phases(console) as update:
        for step in range(1000):
            update("encoder", step + 1, 1000, 5.0 if step < 500 else 0.25)
    shown = float(text.getvalue().split("loss ")[1].split()[0])
    assert 0.25 < shown < 0.35


def test_a_log_repeats_no_line_of_what_stands_still(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cli_progress, "_LINE_EVERY_S", 0.01)
    console, text = log()
    with cli_progress.phases(console) as update:
        update("scenes", 1, 2)
        time.sleep(0.1)
    assert text.getvalue().count("scenes:") == 1


def test_a_phase_ends_with_a_line_also_when_it_is_interrupted():
    console, text = log()

    def interrupted() -> None:
        with cli_progress.phases(console) as update:
            update("cloning", 3, 6000)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "cloning: 3/6000 [0%" in text.getvalue()
    assert "left" not in text.getvalue()  # one sample says nothing of the speed


def test_a_terminal_gets_a_bar():
    text = io.StringIO()
    with cli_progress.phases(Console(file=text, width=100, force_terminal=True)) as update:
        update("encoder", 2, 2)
    assert "━" in text.getvalue()
    assert "elapsed" not in text.getvalue()
