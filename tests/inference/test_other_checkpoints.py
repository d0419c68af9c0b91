"""Somebody else's model answers what transformers' own pipeline answers, or is refused in a sentence that helps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    TextClassificationPipeline,
)

from batch_classification.in_process import load_classifier
from batch_inference.errors import ModelLoadError
from batch_inference.model import EncoderModel
from batch_inference.sample_texts import SAMPLE_TEXTS
from batch_inference.tokenizer import TextTokenizer
from rehearsal.dev_server import ROOT
from rehearsal.small_classifiers import POSITIONS
from tests.inference import checkpoints as made
from tools import architectures

TEXTS = [
    *SAMPLE_TEXTS,
    "@ana_b did you see https://example.org/x?y=1, @bob_c",
    "a " * 40,
    "[E1] she [/E1] met [OTHER] them",
]

MIDDLE = "and so it went on and on, day after day " * 80
LONG_TEXTS = [f"love {MIDDLE}hate", f"hate {MIDDLE}love"]
"""Longer than most models take."""


def load(folder: Path, precision: str = "float32", **settings: object) -> EncoderModel:
    return load_classifier(model=str(folder), device="cpu", precision=precision, **settings)


def answers(model: EncoderModel, texts: list[str]) -> np.ndarray:
    """All in one pass, as the engine's passes hold several."""
    return model.answers(model.tokenizer.encode(texts, model.max_tokens).rows)


def by_pipeline(folder: Path, model: EncoderModel, texts: list[str]) -> np.ndarray:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    classify = TextClassificationPipeline(model=plain, tokenizer=tokenizer)
    answered = classify(texts, top_k=None, truncation=True, max_length=model.max_tokens)
    expected = [{str(entry["label"]): entry["score"] for entry in answer} for answer in answered]
    return np.array([[scores[label] for label in model.own_labels] for scores in expected])


SERVED: dict[str, made.Make] = {
    **{
        kind: made.of_kind(kind)
        for kind in (
            "roberta", "bert", "distilbert", "electra", "albert", "camembert", "xlm-roberta", "deberta", "deberta-v2",
            "mpnet", "longformer", "data2vec-text", "roberta-prelayernorm", "ibert", "modernbert",
        )
    },
    "vocab.txt only": made.save_vocab_txt_only,
    "padded on the left": made.save_xlnet,
    "no pad token": made.save_gpt2,
    "a slow tokenizer": made.save_bertweet,
    "sharded": made.save_sharded,
    ".bin only": made.save_bin_only,
    "stored in bfloat16": made.save_in_half,
    "tokenizer.json that pads and truncates": made.with_tokenizer(made.pads_and_truncates),
    "markers for texts to hold": made.save_with_markers,
    "markers among bytes": made.save_with_markers_among_bytes,
    "token types of its own": made.save_with_token_types,
    "the end of long texts": made.save_cut_at_the_start,
    "another pad token than its tokenizer's": made.of_kind("roberta", pad_token_id=0),
    "labels that are numbers": lambda folder: made.save_with_config(folder, id2label={"0": 1, "1": 2, "2": 5}),
    "label2id of another order": lambda folder: made.save_with_config(folder, label2id={"positive": 0, "negative": 1}),
    "multi-label": made.of_kind("roberta", problem_type="multi_label_classification"),
    "multi-label, padded": made.of_kind("electra", problem_type="multi_label_classification"),
    "two labels": made.of_kind("bert", id2label={0: "LABEL_0", 1: "LABEL_1"}),
    "77 intents": made.of_kind("bert", id2label={n: f"intent_number_{n}_of_many" for n in range(77)}),
    "labels that differ in case": made.of_kind("roberta", id2label={0: "pos", 1: "POS", 2: "Größe"}),
}  # fmt: skip


FORWARDS = {"roberta": ("packed", "padded"), "bert": ("packed", "padded")} | dict.fromkeys(
    [
        "distilbert", "electra", "albert", "deberta", "deberta-v2", "mpnet", "longformer", "data2vec-text",
        "roberta-prelayernorm", "ibert", "modernbert", "padded on the left", "no pad token",
        "multi-label, padded",
    ],
    ("auto",),
) | {"token types of its own": ("padded",)}  # fmt: skip
"""Which passes a kind is tried on; `packed` alone if it is not here. What cannot be packed has `auto` for `padded`."""


def documented() -> dict[str, list[str]]:
    """The lines of the table in docs/your-model.md, by architecture: pass, precisions, longest text."""
    page = (ROOT / "docs" / "your-model.md").read_text(encoding="utf-8")
    table = page.partition(architectures.HEADER + "\n")[2].partition("\n\n")[0]
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
    return {architecture: cells for architecture, *cells in rows}


TABLE = documented()


@pytest.mark.parametrize("kind", SERVED)
def test_it_answers_what_the_pipeline_answers(tmp_path: Path, kind: str) -> None:
    folder = SERVED[kind](tmp_path / "checkpoint")
    # Not `auto`: which of the two is faster is a matter of the machine.
    models = [load(folder, forward=forward) for forward in FORWARDS.get(kind, ("packed",))]
    texts = [*TEXTS, *LONG_TEXTS] if kind in ("bert", "the end of long texts") else TEXTS
    expected = by_pipeline(folder, models[0], texts)
    # Else the test would show nothing.
    assert np.ptp(expected, axis=0).max() > 0.01
    for model in models:
        assert answers(model, texts) == pytest.approx(expected, abs=1e-3)
    if kind in TABLE:
        assert TABLE[kind][::2] == [models[0].forward_name, architectures.longest_text(models[0])]


def test_the_table_in_the_docs_has_every_architecture() -> None:
    assert list(TABLE) == list(POSITIONS)


@pytest.mark.slow
def test_the_table_in_the_docs_is_what_the_script_prints() -> None:
    table = "\n".join(architectures.lines())
    assert table in (ROOT / "docs" / "your-model.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["roberta", "bert", "slow"])
def test_a_text_that_spells_a_control_token_is_text(tmp_path: Path, kind: str) -> None:
    make = {"roberta": made.of_kind("roberta"), "bert": made.save_vocab_txt_only, "slow": made.save_bertweet}[kind]
    model = load(make(tmp_path / "checkpoint"), forward="padded")
    for word in ("<s>", "[SEP]", "</s>"):
        [row] = model.tokenizer.encode([f"so {word} it"], 100).rows.tolists()
        [frame] = model.tokenizer.encode(["so"], 100).rows.tolists()
        assert not {frame[0], frame[-1]} & set(row[1:-1])


REFUSED: dict[str, tuple[made.Make, str]] = {
    "a masked language model": (
        made.save_masked_language_model,
        r"lacks weights .*classifier\.dense\.bias, .*classifier\.out_proj\.weight.* fine-tune this one first\.$",
    ),
    "one weight of many": (made.save_half, r"lacks weights .*roberta\.encoder\.layer\.1\.output\.dense\.weight\."),
    "no tokenizer": (made.save_without_tokenizer, r"has no vocabulary: there are no files of a tokenizer, such as"),
    "no vocabulary": (
        made.save_without_vocabulary,
        r"has no vocabulary: its tokenizer knows no word .* \(.*tokenizer\.json.*\) beside the weights",
    ),
    "a tokenizer of SentencePiece only": (
        made.save_sentencepiece_only,
        r"has its tokenizer in spiece\.model only.* Write a tokenizer\.json beside it",
    ),
    "a model beside an adapter": (made.save_beside_adapter, r"holds a model and a LoRA adapter.* If it has, remove"),
    "folders of a training": (
        made.save_in_folders,
        r"has no config\.json of its own, but checkpoint-500 in it\. Use one",
    ),
    "a shard is missing": (
        made.save_shard_missing,
        r"lacks model-00002-of-00002\.safetensors, which its index of weights names\. Copy or",
    ),
    "a token without an embedding": (
        made.save_tokens_without_embedding,
        r"has embeddings for 14587 tokens, and its tokenizer has more: '\[URL\]' is one\. Use the tokenizer",
    ),
    "a pad token without an embedding": (made.save_pad_without_embedding, r"cannot run together: .*index out of range"),
    "labels that lack one": (
        lambda folder: made.save_with_config(folder, id2label={"0": "a", "2": "b", "3": "c"}),
        r"has no label 1: it must number all 3 outputs from 0",
    ),
    "more labels than weights": (
        lambda folder: made.save_with_config(folder, id2label={str(n): f"l{n}" for n in range(5)}),
        "cannot be loaded: .*size",
    ),
    "quantised by another library": (
        lambda folder: made.save_with_config(
            folder, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True}
        ),
        "cannot be loaded: .*bitsandbytes",
    ),
    "one number": (
        made.of_kind("roberta", id2label={0: "score"}),
        r"computes numbers and no labels \(num_labels is 1, .* Use a model with two labels or more",
    ),
    "a regression of several": (made.of_kind("roberta", problem_type="regression"), "numbers and no labels"),
    "a LoRA adapter": (made.save_adapter, r"is a LoRA adapter .*, roberta-base\. Merge the two.*merge_and_unload"),
    "ONNX only": (made.save_onnx_only, r"has weights for ONNX only\. Use the checkpoint that they were made from"),
    "an empty folder": (made.save_empty, r"is empty\. Put the checkpoint there: model\.save_pretrained"),
    "no config": (made.save_without_config, r"has no config\.json.* Use the folder that model\.save_pretrained wrote"),
    "cut short": (made.save_cut_short, r"cannot be loaded: .*header.* Use a hub id, a folder"),
    "two labels of one name": (
        made.of_kind("roberta", id2label={0: "a", 1: "b", 2: "a"}),
        r"calls several outputs 'a'.* Give each a name of its own",
    ),
    "padding that counts": (
        made.of_kind("fnet"),
        r"the model lets padding change its answers\. Use another checkpoint",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_served_is_refused_in_a_sentence_that_helps(tmp_path: Path, kind: str) -> None:
    make, sentence = REFUSED[kind]
    folder = make(tmp_path / "checkpoint")
    with pytest.raises(ModelLoadError, match=sentence) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_what_runs_in_float32_only_is_loaded_so_unless_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # DeBERTa's first version. On a GPU `auto` is float16, which a CPU stands in for here.
    folder = made.save_checkpoint(tmp_path / "checkpoint", "deberta")
    with pytest.raises(ModelLoadError, match="same dtype"):
        load(folder, precision="bfloat16")
    monkeypatch.setattr(
        "batch_inference.loading._pick_precision",
        lambda settings, _: "bfloat16" if settings.precision == "auto" else settings.precision,
    )
    assert load(folder, precision="auto").precision == "float32"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"nowhere' is not there: no such folder\. Correct the path"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        (("negative", "Positive"), ("NEGATIVE", "POSITIVE")),
        (("pos", "POS"), ("pos", "POS")),
        (("Größe", "GRÖSSE"), ("Größe", "GRÖSSE")),
    ],
)
def test_labels_are_upper_case_unless_two_would_become_one(
    tmp_path: Path, own: tuple[str, ...], shown: tuple[str, ...]
) -> None:
    model = load(made.save_checkpoint(tmp_path / "checkpoint", id2label=dict(enumerate(own))), forward="packed")
    assert (model.own_labels, model.labels) == (own, shown)


@pytest.mark.parametrize(
    ("name", "declared", "setting", "masks"),
    [
        ("roberta", None, "auto", False),
        ("roberta", "tweets", "auto", True),
        ("cardiffnlp--twitter-roberta", None, "auto", True),
        ("cardiffnlp--twitter-roberta", None, "none", False),
        ("roberta", None, "tweets", True),
    ],
)
def test_handles_are_masked_for_models_that_were_trained_so(
    tmp_path: Path, name: str, declared: str | None, setting: str, masks: bool
) -> None:
    config = {} if declared is None else {"text_preparation": declared}
    model = load(made.save_checkpoint(tmp_path / name, **config), text_preparation=setting, forward="packed")
    assert model.head.text_preparation == ("tweets" if masks else "none")
    mine, masked = model.tokenizer.encode(["@somebody_else hi", "@user hi"], 100).rows.tolists()
    assert (mine == masked) is masks


def test_the_bundled_model_says_that_its_texts_were_masked() -> None:
    assert load_classifier(model="bundled", device="cpu", forward="packed").head.text_preparation == "tweets"


def test_the_comparison_with_the_pipeline_catches_what_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A fault of ours that no row of the tables above names: texts reach the model backwards.
    monkeypatch.setattr("batch_inference.loading.TextTokenizer", _backwards)
    with pytest.raises(
        ModelLoadError, match=r"answers otherwise here than in transformers' own pipeline: .* differs by"
    ):
        load(made.save_checkpoint(tmp_path / "checkpoint"), forward="packed")


def _backwards(tokenizer: PreTrainedTokenizerBase, _prepare_text: object) -> TextTokenizer:
    return TextTokenizer(tokenizer, lambda text: text[::-1])
