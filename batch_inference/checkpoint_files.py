"""What the files of a checkpoint say about why it cannot be loaded, and what to do. Nothing is loaded for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from batch_inference.label_names import label_names

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""In the order in which transformers looks for them."""

OTHER_WEIGHTS = {
    ".onnx": "ONNX",
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".gguf": "GGUF",
    ".tflite": "TensorFlow Lite",
}
ADAPTER_WEIGHTS = {"adapter_model.safetensors", "adapter_model.bin"}

SENTENCEPIECE = ("sentencepiece", "spiece", "spm")
"""Such files of a tokenizer need another library, which is not among the image's packages."""

PARTS_OF_TOKENIZERS = ("token", "vocab", "bpe", "tekken", *SENTENCEPIECE)
"""The name of each file that a tokenizer of transformers is made of has one of these."""

PARTS_OF_CLASSIFIERS = ("classif", "score", "logits_proj", "summary")
"""What sits on the encoder of a classifier of transformers has weights with one of these in their names."""

MAX_HEADER_BYTES = 100 * 2**20
"""Of safetensors; more is damage."""


def why_unusable(source: str, revision: str | None, *, is_loaded: bool) -> str | None:
    """What is wrong with a checkpoint's files: the rest of a sentence that begins with its name. None if nothing is.

    Args:
        source: a folder, or a hub id.
        revision: commit on the hub.
        is_loaded: only look at what is on this machine. Without, the hub is asked, too.
    """
    folder = Path(source)
    if folder.is_dir():
        return _why_unusable({path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}, folder)
    if folder.is_absolute() or source.startswith("."):
        return "is not there: no such folder. Correct the path, or use a hub id."
    if not is_loaded:
        # Takes longer to import than all else that is done before a checkpoint is loaded.
        from huggingface_hub import list_repo_files

        # Whatever goes wrong here went wrong before, and is told.
        with suppress(Exception):
            return _why_unusable(set(map(Path, list_repo_files(source, revision=revision))), None)
    return None


def why_no_classifier(source: str) -> str | None:
    """The same of a folder with another kind of model, as far as its files say it; loading says the rest.

    Args:
        source: a folder, or a hub id, of which nothing is known here.

    Raises:
        ModelLoadError: it is a classifier, and its labels cannot be served.
    """
    folder = Path(source)
    config = _read_json(folder / "config.json")
    if (kind := _kind_without_classifier(config, folder)) is not None:
        return (
            f"is a {kind}, and lacks the weights of a classifier, so that its answers would be random. Use a "
            "checkpoint that was fine-tuned for this, or fine-tune this one first."
        )
    names = config.get("id2label")
    if isinstance(names, dict) and all(index.isdecimal() for index in names):
        label_names(len(names), config.get("problem_type"), {int(index): name for index, name in names.items()})
    return None


def _kind_without_classifier(config: dict[str, Any], folder: Path) -> str | None:
    """The class of a model that has no weights of a classifier; None if it has some, or nothing is known."""
    kinds = config.get("architectures") or []
    names = list(_names_of_weights(folder))
    if not kinds or not names or any(str(kind).endswith("ForSequenceClassification") for kind in kinds):
        return None
    if any(part in name for name in names for part in PARTS_OF_CLASSIFIERS):
        return None
    return str(kinds[0])


def _why_unusable(paths: set[Path], folder: Path | None) -> str | None:
    if not paths:
        return "is empty. Put the checkpoint there: model.save_pretrained and tokenizer.save_pretrained write it."
    files = {path.name for path in paths if len(path.parts) == 1}
    has_weights = any(name in files for name in WEIGHTS)
    if "adapter_config.json" in files and (problem := _problem_of_adapter(files, folder, has_weights)):
        return problem
    if "config.json" not in files:
        others = sorted({str(path.parent) for path in paths if path.name == "config.json"})
        if others:
            return f"has no config.json of its own, but {', '.join(others[:4])} in it. Use one of those folders."
        return (
            "has no config.json, so it is no checkpoint of transformers. "
            "Use the folder that model.save_pretrained wrote."
        )
    if not has_weights:
        return _why_no_weights({path.name for path in paths})
    if folder and (shards := sorted(_shards(folder) - files)):
        return f"lacks {shards[0]}, which its index of weights names. Copy or download it, too."
    if not any(part in name.lower() for name in files for part in PARTS_OF_TOKENIZERS):
        return (
            "has no vocabulary: there are no files of a tokenizer, such as tokenizer.json. Put them beside the "
            "weights: tokenizer.save_pretrained writes them."
        )
    pieces = sorted(name for name in files if any(part in name for part in SENTENCEPIECE))
    if pieces and "tokenizer.json" not in files and find_spec("sentencepiece") is None:
        return (
            f"has its tokenizer in {pieces[0]} only, which nothing here can read. Write a tokenizer.json beside it, "
            "where sentencepiece is installed: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)."
        )
    return None


def _problem_of_adapter(files: set[str], folder: Path | None, has_weights: bool) -> str | None:
    if not has_weights or "config.json" not in files:
        return (
            f"is a LoRA adapter without the model it adapts{_adapted(folder)}. Merge the two, and serve the result: "
            "AutoPeftModelForSequenceClassification.from_pretrained(...).merge_and_unload().save_pretrained(FOLDER), "
            "and save the tokenizer there, too."
        )
    if files & ADAPTER_WEIGHTS:
        return (
            "holds a model and a LoRA adapter, and nothing says whether the one has the other merged in. If it has, "
            "remove the files whose names begin with adapter_; else merge the two, and serve the result."
        )
    return None


def _why_no_weights(names: set[str]) -> str:
    others = sorted({kind for ending, kind in OTHER_WEIGHTS.items() if any(name.endswith(ending) for name in names)})
    if others:
        return (
            f"has weights for {' and '.join(others)} only. Use the checkpoint that they were made from: "
            "model.safetensors or pytorch_model.bin."
        )
    return "has no weights: neither model.safetensors nor pytorch_model.bin. model.save_pretrained writes them."


def _shards(folder: Path) -> set[str]:
    """The files that a checkpoint's index says the weights are in."""
    if (folder / WEIGHTS[0]).exists():
        # It is what is loaded.
        return set()
    return {str(name) for name in _read_json(folder / WEIGHTS[1]).get("weight_map", {}).values()}


def _names_of_weights(folder: Path) -> Iterator[str]:
    """As far as they can be read without loading any: pickles hide theirs."""
    yield from _read_json(folder / "model.safetensors.index.json").get("weight_map", {})
    with suppress(OSError, ValueError), (folder / "model.safetensors").open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length <= MAX_HEADER_BYTES:
            yield from json.loads(file.read(length))


def _adapted(folder: Path | None) -> str:
    name = _read_json(folder / "adapter_config.json").get("base_model_name_or_path") if folder else None
    return f", {name}" if name else ""


def _read_json(file: Path) -> dict[str, Any]:
    """An object; empty if the file is not there, or is damaged, which loading will tell."""
    with suppress(OSError, ValueError):
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}
