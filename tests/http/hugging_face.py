"""Hugging Face's own clients, in Python and in JavaScript, pointed at an address of ours."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError

SCRIPTS = Path(__file__).resolve().parent / "hugging_face_js"
BEST_TWO = ["positive", "negative"]


def install_js_client(folder: Path) -> Path:
    """The script that asks through `@huggingface/inference`, installed by npm into an empty folder; skips without."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True)
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=240)
    if done.returncode != 0:
        pytest.skip(f"npm could not install @huggingface/inference: {done.stderr[-500:]}")
    return folder / "classify.mjs"


def ask_in_js(script: Path, url: str, **request: Any) -> Any:
    """What `textClassification(request)` gives, or the error's message and status."""
    done = subprocess.run(
        ["node", script, url], input=json.dumps(request), capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout)


def check_python_client(url: str) -> HfHubHTTPError:
    """Ask for the best two labels of a text, then for all; gives the client's error about a blank text."""
    client = InferenceClient(base_url=url, token="hf_key")
    answer = client.text_classification("I love this!", top_k=2)
    assert [element.label for element in answer] == BEST_TWO
    assert answer[0].score == pytest.approx(0.95, abs=0.01)
    assert len(client.text_classification("I love this!")) == 3
    with pytest.raises(BadRequestError) as refusal:
        client.text_classification(" ")
    return refusal.value


def check_js_client(script: Path, url: str) -> str:
    """The same in JavaScript; gives the error's message."""
    answer = ask_in_js(script, url, inputs="I love this!", parameters={"top_k": 2})
    assert [element["label"] for element in answer] == BEST_TWO
    assert answer[0]["score"] == pytest.approx(0.95, abs=0.01)
    assert len(ask_in_js(script, url, inputs="I love this!")) == 3
    refusal = ask_in_js(script, url, inputs=" ")
    assert refusal["status"] == 400
    message: str = refusal["message"]
    return message
