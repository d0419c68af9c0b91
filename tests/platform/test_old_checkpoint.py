"""A start from a checkpoint as the default model's is laid out: a pickle, a vocabulary and merges, and nothing newer.

The weights are random, in `make test-slow` of RoBERTa-base's true size; the hub is a stand-in on loopback, which the
lock of the network lets through, so that whatever is looked up too late is seen.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import RobertaConfig, RobertaForSequenceClassification
from transformers.convert_slow_tokenizer import bytes_to_unicode

from batch_classification.in_process import load_classifier
from batch_inference.errors import ModelLoadError
from rehearsal.fake_hub import COMMIT, running_fake_hub
from rehearsal.gateway import Gateway, through_gateway
from rehearsal.running import running_instance

REPOSITORY = "someone/an-old-checkpoint"
LABELS = ("negative", "neutral", "positive")
VOCABULARY_SIZE = 50_265

TRUE_SIZE: dict[str, int] = {}
SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def save_old_checkpoint(folder: Path, **smaller: int) -> Path:
    """Config, pickle, `vocab.json` and `merges.txt`; no safetensors, no `tokenizer.json`."""
    folder.mkdir()
    config = RobertaConfig(
        vocab_size=VOCABULARY_SIZE, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5,
        id2label=dict(enumerate(LABELS)), label2id={label: index for index, label in enumerate(LABELS)}, **smaller,
    )  # fmt: skip
    torch.manual_seed(1)
    model = RobertaForSequenceClassification(config)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(config.to_dict() | {"architectures": [type(model).__name__]}))
    characters = list(bytes_to_unicode().values())
    merges = [("l", "o"), ("lo", "v"), ("lov", "e"), ("Ġ", "t")]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *characters, *("".join(pair) for pair in merges)]
    pieces += [f"piece{number}" for number in range(VOCABULARY_SIZE - len(pieces) - 1)] + ["<mask>"]
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, merges)) + "\n")
    return folder


@pytest.mark.parametrize("size", [SMALL, pytest.param(TRUE_SIZE, marks=pytest.mark.slow)], ids=["small", "true size"])
def test_it_is_loaded_at_start_up_and_nothing_is_looked_up_after_that(tmp_path: Path, size: dict[str, int]) -> None:
    folder = save_old_checkpoint(tmp_path / "checkpoint", **size)
    with running_fake_hub(REPOSITORY, folder) as hub:
        environment = {
            "BATCH_PROCESSOR_MODEL": REPOSITORY,
            "BATCH_PROCESSOR_REVISION": COMMIT,
            "HF_ENDPOINT": hub.url,
            # The platform's own, whatever the image says.
            "HF_HOME": str(tmp_path / "cache"),
        }
        with running_instance(tmp_path, **environment) as instance:
            at_start = list(hub.asked)

            async def scenario(gateway: Gateway) -> None:
                answer = await gateway.post("/process-batch", {"texts": ["I love this!", "lo" * 600]})
                assert answer.status == 200
                first, second = answer.json()["results"]
                assert first["sentiment"] in ("NEGATIVE", "NEUTRAL", "POSITIVE")
                assert second["truncated"]
                assert (await gateway.call("GET", "/batch-stats")).json()["revision"] == COMMIT

            through_gateway(instance, scenario)
        assert "the network is locked" not in (tmp_path / "log").read_text(encoding="utf-8")
        assert hub.asked == at_start
        assert f"GET /{REPOSITORY}/resolve/{COMMIT}/pytorch_model.bin" in at_start
        # A conversion would begin by looking for its own pull request.
        assert not [request for request in at_start if "discussions" in request or request.startswith("POST")]


class Payload:
    """What a pickle may do to whoever reads it with no care."""

    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("the pickle was run",))


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    folder = save_old_checkpoint(tmp_path / "checkpoint", **SMALL)
    torch.save({"classifier.dense.weight": Payload()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        load_classifier(model=str(folder), device="cpu")
