"""No code comes from a model: a checkpoint that brings some is loaded without running it, or is refused."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path

import pytest

from batch_classification.in_process import load_classifier
from batch_classification.settings import ClassifierSettings
from batch_inference.errors import ModelLoadError
from batch_inference.settings import load_settings
from rehearsal.dev_server import ROOT


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A copy of the bundled model that may be spoilt."""
    return Path(shutil.copytree(ROOT / "models" / "tiny-sentiment", tmp_path / "model"))


def test_a_pickled_checkpoint_is_read_without_running_it(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    trapped = tmp_path / "trapped"
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Trap(trapped)}))
    # Which error it is, is the reader's affair.
    with pytest.raises((ModelLoadError, pickle.UnpicklingError)):
        load_classifier(model=str(checkpoint), device="cpu")
    assert not trapped.exists()


def test_code_beside_a_checkpoint_is_not_run(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Somebody at a terminal who agrees to everything.
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    trapped = tmp_path / "trapped"
    (checkpoint / "modeling_trap.py").write_text(f"import pathlib\npathlib.Path({str(trapped)!r}).touch()\n")
    config = json.loads((checkpoint / "config.json").read_text())
    config["model_type"] = "trap"
    config["auto_map"] = {
        "AutoConfig": "modeling_trap.Trap",
        "AutoModelForSequenceClassification": "modeling_trap.Trap",
    }
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError):
        load_classifier(model=str(checkpoint), device="cpu")
    assert not trapped.exists()


def test_the_default_model_is_pinned_to_a_commit() -> None:
    assert re.fullmatch(r"[0-9a-f]{40}", str(load_settings(ClassifierSettings).pinned_revision))
