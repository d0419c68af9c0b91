"""Vectors against sentence-transformers' own; checkpoints that have none are refused."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from batch_classification.settings import ClassifierSettings
from batch_embedding.head import EmbeddingHead
from batch_embedding.recipe import Recipe
from batch_embedding.settings import EmbedderSettings
from batch_inference.engine import Engine
from batch_inference.errors import ModelLoadError
from batch_inference.forward.padded import PaddedForward
from batch_inference.forward.row_layout import RowLayout
from batch_inference.loading import load_model
from batch_inference.settings import BUNDLED_MODEL
from batch_inference.token_rows import TokenRows
from rehearsal.small_classifiers import save_checkpoint

WORDS = ("rain", "on", "the", "tin", "roof", "sounds", "like", "quiet", "applause", "42", "über", "naïve", "strangers")


def texts_of_all_lengths(number: int) -> list[str]:
    rng = random.Random(number)
    return [" ".join(rng.choices(WORDS, k=1 + 300 * index // number)) for index in range(number)]


def sentence_transformer(model: str) -> Any:
    """Slow to import: only for the worker that runs such a test."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(model, device="cpu")


def embed(embedder: Engine, texts: Sequence[str]) -> NDArray[np.float32]:
    return embedder.run(texts, embedder.model.max_tokens).answers


def test_vectors_are_those_of_sentence_transformers(embedder: Engine, settings: EmbedderSettings) -> None:
    texts = texts_of_all_lengths(24)
    theirs = sentence_transformer(settings.model).encode(texts, normalize_embeddings=False)
    ours = embed(embedder, texts)
    assert (ours * theirs).sum(axis=1).min() > 0.9999
    assert np.linalg.norm(ours, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)


def test_alone_equals_in_company(embedder: Engine) -> None:
    texts = texts_of_all_lengths(16)
    together = embed(embedder, texts)
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda text: embed(embedder, [text])[0], texts))
    assert np.abs(together - np.stack(alone)).max() < 1e-4


def test_texts_are_cut_where_the_checkpoint_says(embedder: Engine) -> None:
    assert embedder.model.max_tokens == 256
    outcome = embedder.run(["word " * 300, "word"], embedder.model.max_tokens)
    assert outcome.num_tokens.tolist() == [256, 3]
    assert outcome.num_dropped.tolist() == [46, 0]


def test_handles_and_links_are_not_masked(embedder: Engine) -> None:
    one, other = embed(embedder, ["ask @alice", "ask @bob"])
    assert np.abs(one - other).max() > 0.01


@pytest.mark.parametrize("pooling", [("cls",), ("mean",), ("max",), ("mean_sqrt_len",), ("cls", "mean")])
def test_padding_is_never_counted(settings: EmbedderSettings, pooling: tuple[str, ...]) -> None:
    """Packed, padded and alone give the same, for each way of pooling."""
    model = torch.nn.Module()
    from transformers import AutoModel

    from batch_inference.forward.kernels_cpu import CpuKernels

    model = AutoModel.from_pretrained(settings.model, dtype=torch.float32).eval()
    head = EmbeddingHead(Recipe(pooling, is_normalised=False, max_tokens=None))
    rows = TokenRows.of([[101, 2023, 102], [101, 2023, 2003, 1037, 2936, 6251, 102], [101, 102], [101] * 40])

    def run(forward: Any, rows: TokenRows) -> NDArray[np.float32]:
        with torch.inference_mode():
            vectors: NDArray[np.float32] = forward.logits(forward.prepare(rows)).numpy()
        return vectors

    padded = head.padded(model, torch.from_numpy, RowLayout())
    assert isinstance(padded, PaddedForward)
    alone = np.concatenate([run(padded, rows.part(index, index + 1)) for index in range(len(rows))])
    assert run(padded, rows) == pytest.approx(alone, abs=1e-4)
    assert run(head.packed(model, CpuKernels()), rows) == pytest.approx(alone, abs=1e-4)


def edited(settings: EmbedderSettings, folder: Path, name: str, content: object) -> EmbedderSettings:
    """A checkpoint's small files, one of them another."""
    shutil.copytree(settings.model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / name).write_text(json.dumps(content))
    return EmbedderSettings(model=str(folder))


def test_a_checkpoint_without_pooling_is_refused(tmp_path: Path, settings: EmbedderSettings) -> None:
    from batch_inference.settings import load_settings

    classifier = load_settings(ClassifierSettings, model=BUNDLED_MODEL).model_source
    with pytest.raises(ModelLoadError, match=r"has no modules\.json"):
        Recipe.read(EmbedderSettings(model=classifier))
    no_pooling = [{"path": "", "type": "sentence_transformers.models.Transformer"}]
    with pytest.raises(ModelLoadError, match="consists of Transformer, but only"):
        Recipe.read(edited(settings, tmp_path / "bare", "modules.json", no_pooling))
    with pytest.raises(ModelLoadError, match="pools by lasttoken; known here are"):
        Recipe.read(edited(settings, tmp_path / "last", "1_Pooling/config.json", {"pooling_mode_lasttoken": True}))
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        Recipe.read(EmbedderSettings(model=str(tmp_path / "nowhere")))
    old = [{"path": "0_Transformer", "type": "Transformer"}, {"path": "1_Pooling", "type": "Pooling"}]
    with pytest.raises(ModelLoadError, match=r"keeps its model in 0_Transformer/, .*Write it anew"):
        Recipe.read(edited(settings, tmp_path / "old", "modules.json", old))


def test_recipes_of_both_generations_are_read(tmp_path: Path, settings: EmbedderSettings) -> None:
    assert Recipe.read(settings) == Recipe(("mean",), True, 256)
    new = {"pooling_mode": "cls", "embedding_dimension": 384}
    assert Recipe.read(edited(settings, tmp_path / "new", "1_Pooling/config.json", new)).pooling == ("cls",)


def saved(folder: Path, prompts: object, limits: object, pooling: object) -> EmbedderSettings:
    """A small random checkpoint of sentence-transformers with these settings."""
    save_checkpoint(folder, "bert")
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    # It makes no letter small by itself.
    tokenizer["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "1_Pooling").mkdir()
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    modules = [
        {"idx": number, "name": f"{number}", "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(kinds.items())
    ]
    for name, content in {
        "modules.json": modules,
        "config_sentence_transformers.json": prompts,
        "sentence_bert_config.json": limits,
        "1_Pooling/config.json": pooling,
    }.items():
        (folder / name).write_text(json.dumps(content))
    return EmbedderSettings(model=str(folder), device="cpu", precision="float32", forward="packed")


MEAN = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
QUERY = {"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": "query"}
LOWER = {"max_seq_length": 60, "do_lower_case": True}
SHORT = {"model_max_length": 40, "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}


@pytest.mark.parametrize(
    ("prompts", "limits", "tokenizer"),
    [(QUERY, {}, None), ({}, LOWER, None), (QUERY | {"default_prompt_name": None}, LOWER, SHORT), ({}, {}, SHORT)],
)
def test_texts_are_prepared_and_cut_as_the_checkpoint_says(
    tmp_path: Path, prompts: object, limits: object, tokenizer: object
) -> None:
    settings = saved(tmp_path / "model", prompts, limits, MEAN)
    if tokenizer:
        (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    model = load_model(settings, EmbeddingHead(Recipe.read(settings)))
    texts = ["What a Waste of MONEY", "ΟΔΟΣ Straße", "fine", "word and word " * 300]
    theirs = sentence_transformer(settings.model).encode(texts)
    assert model.answers(model.tokenizer.encode(texts, model.max_tokens).rows) == pytest.approx(theirs, abs=1e-4)


def test_a_prompt_that_is_not_pooled_is_refused(tmp_path: Path) -> None:
    settings = saved(tmp_path / "model", QUERY, {}, MEAN | {"include_prompt": False})
    with pytest.raises(ModelLoadError, match=r"begins texts with 'query: ' and leaves that out when it pools"):
        Recipe.read(settings)
