"""`sop-bench tasks` and `sop-bench watch`: cards, measured rates, videos, and what a mistake gives."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from fakes import ReachWorld
from PIL import Image
from typer.testing import CliRunner

from sop_bench import cli
from sop_bench.studies import task_rates
from sop_bench.studies.evaluation import EVALUATION_SEED

TASK = "restock/flat-shelf"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Runs the command line in an empty folder as a shell would: exit code and everything printed."""

    def call(*arguments: str, columns: int = 200) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", ["sop-bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return call


def words(shown: str) -> str:
    """What was printed, without boxes and line breaks."""
    return " ".join(shown.replace("│", " ").split())


@pytest.mark.parametrize("command", ["tasks", "watch"])
def test_both_commands_explain_themselves(command: str):
    result = CliRunner().invoke(cli.app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


# ---------------------------------------------------------------------------------------------- cards


def test_the_table_has_every_task_with_its_summary(run):
    code, shown = run("tasks")
    assert code == 0
    assert TASK in shown
    assert "Pick the named product" in shown
    assert "not measured" in shown


def test_a_card_says_success_failure_variation_limits_and_what_to_do_for_rates(run):
    code, shown = run("tasks", TASK)
    assert code == 0
    for part in ("stands upright in the named slot", "Another product", "never seen", "12 s at 10 Hz"):
        assert part in shown
    assert f"not measured; measure: sop-bench tasks {TASK} --measure 200" in shown


def test_a_task_that_nobody_described_has_a_card_too(run, world: ReachWorld):
    code, shown = run("tasks", "reach/near", "--adapter", "reach")
    assert code == 0
    assert "not described yet" in shown
    assert "4 s at 10 Hz, 2 joints" in shown


def test_measuring_writes_a_record_with_its_manifest_and_a_picture_and_the_card_quotes_it(
    run, world: ReachWorld, tmp_path: Path
):
    code, shown = run("tasks", "--adapter", "reach", "--measure", "5", "--workers", "0")
    assert code == 0
    assert "│ 1.00 " in shown
    assert "[0.57, 1.00]" in shown
    record = json.loads((tmp_path / "results/tasks/reach-near.json").read_text())
    assert record["expert"]["successes"] == 5
    assert record["expert"]["reasons"] == {"reached": 5}
    assert record["manifest"]["config"]["episodes"] == 5
    assert record["manifest"]["ended_wall"]
    assert record["takeover"]["taken_over"] + record["takeover"]["lost"] == 5
    assert set(record["speed"]) == {"expert", "expert with pictures"}
    with Image.open(tmp_path / "results/tasks/reach-far.png") as sheet:
        assert sheet.width == 6 * 288
    code, shown = run("tasks", "reach/far", "--adapter", "reach")
    assert "5 reached" in words(shown)
    assert "taken over from a bad policy random " in words(shown)
    loops = r"expert [\d.]+; expert with pictures [\d.]+; policy -; policy, eight together - \(one core of "
    assert re.search(loops, words(shown))
    assert "5 unseen instances at 9 stations" in shown
    assert "results/tasks/reach-far.png" in shown


def test_a_checkpoint_is_timed_and_named_in_the_record(run, world: ReachWorld, tmp_path: Path):
    checkpoint = str(world.checkpoint)
    options = ("--adapter", "reach", "--measure", "1", "--workers", "0", "--checkpoint", checkpoint)
    code, shown = run("tasks", "reach/near", *options)
    assert code == 0
    parts = r"physics \d+ %, rendering \d+ %, policy \d+ %, other \d+ %"
    assert re.search(f"policy: {parts}", shown)
    assert re.search(f"policy, eight together: {parts}", shown)
    record = json.loads((tmp_path / "results/tasks/reach-near.json").read_text())
    assert record["speed"]["policy"]["episodes"] == 5
    assert record["manifest"]["files"]["policy"]["path"] == checkpoint


def test_timing_again_keeps_the_rates_and_says_where_it_was_done(run, world: ReachWorld, tmp_path: Path):
    run("tasks", "reach/near", "--adapter", "reach", "--measure", "1", "--workers", "0")
    path = tmp_path / "results/tasks/reach-near.json"
    before = json.loads(path.read_text())
    before["speed"]["expert"]["real_time_factor"] = before["manifest"]["machine"]["cpu"] = (
        "of another machine"
    )
    path.write_text(json.dumps(before))
    code, shown = run("tasks", "reach/near", "--adapter", "reach", "--speed", "--workers", "0")
    assert code == 0
    after = json.loads(path.read_text())
    assert after["speed"]["expert"]["real_time_factor"] > 0
    assert {name: after[name] for name in before if name != "speed"} == {
        name: before[name] for name in before if name != "speed"
    }
    assert after["speed_manifest"]["machine"]["cpu"] in words(shown)
    assert "of another machine" not in shown


def test_speed_without_rates_says_how_to_measure_both(run, world: ReachWorld):
    code, shown = run("tasks", "reach/near", "--adapter", "reach", "--speed", "--workers", "0")
    assert code != 0
    assert "sop-bench tasks reach/near --measure 200" in words(shown)


def test_the_table_has_takeovers_and_real_time_factors_within_a_hundred_columns(run, world: ReachWorld):
    run("tasks", "reach/near", "--adapter", "reach", "--measure", "2", "--workers", "0")
    code, shown = run("tasks", "--adapter", "reach", columns=100)
    assert code == 0
    for part in ("takeover", "x real time", "pictures /"):
        assert part in shown
    assert re.search(r"│ [\d.]+ / - ", shown)
    assert max(map(len, shown.splitlines())) <= 100


def test_a_record_from_before_takeovers_and_speeds_is_still_quoted(run, world: ReachWorld, tmp_path: Path):
    run("tasks", "reach/near", "--adapter", "reach", "--measure", "2", "--workers", "0")
    path = tmp_path / "results/tasks/reach-near.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({name: record[name] for name in record if name not in ("takeover", "speed")}))
    code, shown = run("tasks", "reach/near", "--adapter", "reach")
    assert code == 0
    assert "2 reached" in words(shown)
    assert "takeover not measured" in words(shown)
    assert "x real time not measured" in words(shown)
    _, shown = run("tasks", "--adapter", "reach")
    assert "[0.34, 1.00]" in shown
    assert "not measured" in shown


def test_a_checkpoint_that_does_not_exist_stops_a_measurement_before_it_starts(
    run, world: ReachWorld, tmp_path: Path
):
    code, shown = run("tasks", "--adapter", "reach", "--measure", "1", "--checkpoint", "no.safetensors")
    assert code == 2
    assert "no.safetensors" in shown
    assert list(tmp_path.iterdir()) == []


def test_rates_of_another_version_are_not_quoted(run, world: ReachWorld, tmp_path: Path):
    run("tasks", "reach/near", "--adapter", "reach", "--measure", "2", "--workers", "0")
    path = tmp_path / "results/tasks/reach-near.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "task_version": "0"}))
    _, shown = run("tasks", "reach/near", "--adapter", "reach")
    assert "not measured (only version 0)" in shown


def test_a_damaged_record_is_named(run, world: ReachWorld, tmp_path: Path):
    path = task_rates.record_file(tmp_path / "results/tasks", "reach/near")
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    code, shown = run("tasks", "--adapter", "reach")
    assert code == 2
    assert "reach-near.json is no record of a task" in words(shown)


def test_a_picture_of_an_expert_episode_is_written(run, world: ReachWorld, tmp_path: Path):
    code, _ = run("tasks", "reach/near", "--adapter", "reach", "--picture", "sheet.png")
    assert code == 0
    assert (tmp_path / "sheet.png").exists()


def test_interrupting_a_measurement_says_how_to_repeat_it(run, world: ReachWorld, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("sop_bench.studies.task_rates.measure", interrupted)
    code, shown = run("tasks", "--adapter", "reach", "--measure", "3", "--workers", "0")
    assert code == 130
    assert "To measure again: sop-bench tasks --adapter reach --measure 3 --workers 0" in shown


# ---------------------------------------------------------------------------------------------- watch


def test_an_episode_of_the_desk_becomes_a_video(run, tmp_path: Path):
    code, shown = run("watch", TASK, "--output", "film.gif")
    assert code == 0
    assert "success: placed" in shown
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames > 10  # pyright: ignore[reportAttributeAccessIssue]
        assert film.size == (640, 378)


def test_chance_can_be_watched_too(run, world: ReachWorld):
    code, shown = run("watch", "reach/far", "--adapter", "reach", "--policy", "random", "--output", "x.gif")
    assert code == 0
    assert "timeout: time out, 4.0 s" in shown


def test_a_checkpoint_can_be_watched_and_the_film_is_named_after_it(run, world: ReachWorld, tmp_path: Path):
    run("watch", "reach/near", "--adapter", "reach", "--policy", str(world.checkpoint))
    [film] = (tmp_path / "runs/watch").iterdir()
    assert film.stem == f"reach-near-base-{EVALUATION_SEED}"


def test_watching_an_instance_is_watching_that_scene(run, world: ReachWorld):
    shown = [run("watch", "reach/far", "--adapter", "reach", "--instance", i)[1] for i in ("1", "1", "2")]
    assert shown[0] == shown[1]
    assert "success: reached" in shown[2]


def test_an_mp4_is_written_where_there_is_an_encoder(run, world: ReachWorld, tmp_path: Path):
    pytest.importorskip("imageio_ffmpeg")
    code, _ = run("watch", "reach/near", "--adapter", "reach", "--output", "film.mp4")
    assert code == 0
    assert (tmp_path / "film.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tasks", "restock/flatshelf"), "Did you mean 'restock/flat-shelf'?"),
        (("tasks", "--adapter", "so100"), "Did you mean 'so101'?"),
        (("tasks", "--picture", "x.png"), "--picture x.png needs a task"),
        (("tasks", TASK, "--picture", "x.bmp"), "allowed: .png, .jpg"),
        (("tasks", "--measure", "2", "--workers", "-1"), "allowed: 0 (this process) or more"),
        (("tasks", "--measure", "0"), "greater than or equal to 1"),
        (("watch", "restock/flatshelf"), "Did you mean 'restock/flat-shelf'?"),
        (
            ("watch", TASK, "--policy", "exprt"),
            "allowed: expert, random, smooth, abrupt, shaky, or",
        ),
        (("watch", TASK, "--split", "tset"), "Did you mean 'test'?"),
        (("watch", TASK, "--output", "x.avi"), "allowed: .mp4, .gif"),
        (("watch", TASK, "--rerun", "x.mp4"), "allowed: .rrd"),
    ],
)
def test_a_mistake_gives_one_message_with_what_is_allowed_and_exit_code_two(
    run, arguments: tuple[str, ...], said: str, tmp_path: Path
):
    code, shown = run(*arguments)
    assert code == 2
    assert said in words(shown)
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []


def test_a_window_without_a_display_says_what_to_do_instead(run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    code, shown = run("watch", TASK, "--viewer")
    assert code == 2
    assert "A window needs a display" in shown
    assert "give --output FILE.mp4 or --rerun FILE.rrd" in words(shown)


def test_a_robot_without_windows_says_so(run, world: ReachWorld):
    code, shown = run("watch", "reach/near", "--adapter", "reach", "--viewer")
    assert code == 2
    assert "Robot 'reach' shows no window" in words(shown)


@pytest.mark.parametrize(
    ("module", "option", "extra"), [("imageio_ffmpeg", "--output", "video"), ("rerun", "--rerun", "rerun")]
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    run, module: str, option: str, extra: str, monkeypatch: pytest.MonkeyPatch
):
    for place in ("film", "rerun_log"):
        monkeypatch.setattr(f"sop_bench.studies.{place}.find_spec", lambda name: None)
    code, shown = run("watch", TASK, option, "x.mp4" if option == "--output" else "x.rrd")
    assert code == 2
    assert module.split("_")[0] in shown
    assert f"pip install -c constraints.txt -e '.[{extra}]'" in words(shown)
