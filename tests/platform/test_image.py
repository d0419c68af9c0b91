"""The image's description: its tag follows its content, and its variables survive the Dockerfile."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_classification.settings import ClassifierSettings
from image import _quoted, baked_variables, content_tag
from rehearsal.image_layout import _unquoted


def test_the_tag_changes_with_whatever_is_in_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sources, variables = ["code/*.py", "requirements.txt"], {"A": "1"}
    Path("code").mkdir()
    Path("code/one.py").write_text("1")
    Path("requirements.txt").write_text("torch")
    tags = [content_tag(sources, variables)]

    Path("code/one.py").write_text("2")
    tags.append(content_tag(sources, variables))
    Path("code/two.py").write_text("")
    tags.append(content_tag(sources, variables))
    Path("code/two.py").rename("code/three.py")
    tags.append(content_tag(sources, variables))
    Path("requirements.txt").write_text("torch numpy")
    tags.append(content_tag(sources, variables))
    tags.append(content_tag(sources, {"A": "2"}))
    assert len(set(tags)) == len(tags)

    Path("code/readme.txt").write_text("not in the image")
    assert content_tag(sources, {"A": "2"}) == tags[-1]


def test_an_instance_asks_for_its_gpu_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCH_PROCESSOR_DEVICE", raising=False)
    assert baked_variables(ClassifierSettings())["BATCH_PROCESSOR_DEVICE"] == "cuda"
    assert baked_variables(ClassifierSettings(device="cpu"))["BATCH_PROCESSOR_DEVICE"] == "cpu"


@pytest.mark.parametrize("value", ["org/model-v1.0", "./a folder", 'a"b', "a$HOME", "back\\slash", "it's", "#1"])
def test_a_variable_means_in_the_image_what_it_meant_here(value: str) -> None:
    assert _unquoted(_quoted(value)) == value
