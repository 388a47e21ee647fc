"""The command line: help, the doctor, and what a user sees after a mistake."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from sop_bench import cli, doctor

COMMANDS = (
    "doctor",
    "robots",
    "demos",
    "pretrain",
    "eval",
    "posttrain",
    "scale",
    "compare",
    "pretrain-sweep",
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command line as a shell would: exit code and everything printed."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["sop-bench", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return call


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str):
    result = CliRunner().invoke(cli.app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from sop_bench import cli; "
        "sys.exit(sorted({'torch', 'mujoco', 'pandas', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert outcome.stderr == ""
    assert outcome.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("scale", "--profile", "desc"), "Did you mean 'desk'? Allowed: desk, paper, smoke"),
        (("scale", "--adapter", "so100"), "Did you mean 'so101'?"),
        (("scale", "--task", "restock/flatshelf"), "Did you mean 'restock/flat-shelf'?"),
        (("scale", "--robots", "1,two"), "--robots '1,two' is no list of whole numbers"),
        (("scale", "--robots", "0,1"), "different whole numbers from 1 up"),
        (("scale", "--latency", "none"), "Allowed: field, zero"),
        (("scale", "--imitate", "weigthed"), "Did you mean 'weighted'?"),
        (("scale", "--target", "80"), "between 0 and 1"),
        (("scale", "--workers", "-1"), "allowed: 0 (this process) or more"),
        (("scale", "--checkpoint", "missing.safetensors"), "No checkpoint at missing.safetensors"),
        (("posttrain", "--profile", "big"), "Allowed: desk, paper, smoke"),
        (("posttrain", "--checkpoint", "missing.safetensors"), "No checkpoint at missing.safetensors"),
        (("compare", "--profile", "desc"), "Did you mean 'desk'? Allowed: desk, paper, smoke"),
        (("compare", "--rounds", "7"), "divides the 7200 gradient steps"),
        (("compare", "--tasks", "restock/flat-shelf,fold"), "Unknown task 'fold'"),
        (("pretrain-sweep", "--fractions", "1/8,half"), "'half' is no fraction"),
        (("pretrain-sweep", "--checkpoint", "missing.safetensors"), "No checkpoint at missing.safetensors"),
        (("demos", "--output", "x", "--adapter", "so100"), "Did you mean 'so101'?"),
        (("demos", "--output", "x", "--task", "fold"), "restock/flat-shelf"),
        (("demos", "--output", "x", "--tasks", ","), "allowed: different tasks with commas between, or all"),
        (("pretrain", "--output", "x", "--task", "restock/flatshelf"), "Did you mean 'restock/flat-shelf'?"),
        (("pretrain", "--output", "x", "--tasks", "restock/flat-shelf,restock/flat-shelf"), "name one twice"),
        (("pretrain", "--output", "x", "--profile", "desc"), "Did you mean 'desk'?"),
        (("eval", "missing.safetensors"), "missing.safetensors"),
        (("eval", "missing.safetensors", "--tasks", "all,fold"), "Unknown task 'all'"),
        (("eval", "missing.safetensors", "--split", "tset"), "Did you mean 'test'?"),
    ],
)
def test_a_mistake_gives_one_message_with_what_is_allowed_and_exit_code_two(
    run, arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    # The shipped policy is not what these are about.
    present = tmp_path / "present.safetensors"
    present.write_bytes(b"")
    monkeypatch.setattr("sop_bench.studies.fleet_study.SHIPPED_CHECKPOINT", present)
    extra = () if "--workers" in arguments else ("--workers", "0")
    code, shown = run(*arguments, *extra)
    assert code == 2
    assert said in " ".join(shown.replace("│", " ").split())
    assert "Traceback" not in shown


def test_interrupting_says_how_to_go_on_and_exits_as_shells_expect(run, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("sop_bench.studies.profiles.scale_study", lambda *arguments, **options: None)
    monkeypatch.setattr("sop_bench.studies.scale.scale", interrupted)
    code, shown = run("scale", "--robots", "1,2", "--fresh")
    assert code == 130
    assert "To go on: sop-bench scale --robots 1,2\n" in shown


def test_robots_lists_the_simulated_station(run):
    code, shown = run("robots")
    assert code == 0
    assert "so101" in shown
    assert "restock/flat-shelf" in shown


def test_the_doctor_examines_everything_that_a_study_needs(tmp_path: Path):
    findings = doctor.examine(None, tmp_path / "not" / "there")
    subjects = [finding.subject for finding in findings]
    assert subjects == [
        "Python",
        "mujoco",
        "torch",
        "rendering",
        "cores",
        "memory",
        "disk",
        "pretrained policy",
        "robots",
    ]
    assert all(finding.remedy for finding in findings if finding.verdict != "ok")


def test_the_doctor_says_how_to_get_a_missing_renderer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(doctor, "_renders", lambda backend: False)
    rendering = next(f for f in doctor.examine(None, tmp_path) if f.subject == "rendering")
    assert rendering.verdict == "fail"
    assert "apt-get install libegl1" in rendering.remedy


def test_the_doctor_exits_with_one_when_something_fails(run, monkeypatch: pytest.MonkeyPatch):
    failing = [doctor.Finding("rendering", "fail", "nothing", "install something")]
    monkeypatch.setattr(doctor, "examine", lambda checkpoint, workspace: failing)
    code, shown = run("doctor")
    assert code == 1
    assert "install something" in shown


def test_the_doctor_table_shows_verdicts_and_remedies():
    console = Console(file=io.StringIO(), width=120)
    console.print(doctor.as_table([doctor.Finding("disk", "warn", "2 GiB", "free some")]))
    shown = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert all(word in shown for word in ("disk", "warn", "2 GiB", "free some"))
