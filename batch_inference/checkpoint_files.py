"""What the files of a checkpoint say about why it cannot be loaded, and what to do."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from huggingface_hub import list_repo_files

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
OTHER_WEIGHTS = {
    ".onnx": "ONNX",
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".gguf": "GGUF",
    ".tflite": "TensorFlow Lite",
}


def why_unusable(source: str, revision: str | None, *, is_loaded: bool) -> str | None:
    """What is wrong with a checkpoint's files: the rest of a sentence that begins with its name. None if nothing is.

    Args:
        source: a folder, or a hub id.
        revision: commit on the hub.
        is_loaded: only look at what is on this machine. Without, the hub is asked, too.
    """
    folder = Path(source)
    if folder.is_dir():
        return _why_unusable({path.name for path in folder.rglob("*") if path.is_file()}, folder)
    if folder.is_absolute() or source.startswith("."):
        return "is not there: no such folder. Correct the path, or use a hub id."
    if not is_loaded:
        # Whatever goes wrong here went wrong before, and is told.
        with suppress(Exception):
            files = {name.rsplit("/", 1)[-1] for name in list_repo_files(source, revision=revision)}
            return _why_unusable(files, None)
    return None


def _why_unusable(files: set[str], folder: Path | None) -> str | None:
    if not files:
        return "is empty. Put the checkpoint there: model.save_pretrained and tokenizer.save_pretrained write it."
    has_weights = any(name in files for name in WEIGHTS)
    if "adapter_config.json" in files and not (has_weights and "config.json" in files):
        return (
            f"is a LoRA adapter without the model it adapts{_adapted(folder)}. Merge the two, and serve the result: "
            "AutoPeftModelForSequenceClassification.from_pretrained(...).merge_and_unload().save_pretrained(FOLDER), "
            "and save the tokenizer there, too."
        )
    if "config.json" not in files:
        return (
            "has no config.json, so it is no checkpoint of transformers. "
            "Use the folder that model.save_pretrained wrote."
        )
    if has_weights:
        return None
    others = sorted({kind for ending, kind in OTHER_WEIGHTS.items() if any(name.endswith(ending) for name in files)})
    if others:
        return (
            f"has weights for {' and '.join(others)} only. Use the checkpoint that they were made from: "
            "model.safetensors or pytorch_model.bin."
        )
    return "has no weights: neither model.safetensors nor pytorch_model.bin. model.save_pretrained writes them."


def _adapted(folder: Path | None) -> str:
    with suppress(OSError, ValueError, KeyError, TypeError):
        if folder is not None:
            config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
            return f", {config['base_model_name_or_path']}"
    return ""
