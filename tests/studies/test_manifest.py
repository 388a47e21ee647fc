from pathlib import Path

import sop_bench
from sop_bench.studies.manifest import portable


def test_a_file_of_the_checkout_is_named_from_its_root_on():
    package = Path(sop_bench.__file__).parent
    assert portable(package / "checkpoints" / "generalist.safetensors") == (
        "sop_bench/checkpoints/generalist.safetensors"
    )


def test_a_file_of_the_home_does_not_tell_whose_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert portable(tmp_path / "runs" / "policy.safetensors") == "~/runs/policy.safetensors"


def test_any_other_file_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert portable(tmp_path / "policy.safetensors") == str(tmp_path / "policy.safetensors")
