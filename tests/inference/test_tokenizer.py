"""Tokenizing: text is text, truncation is counted, nothing is padded, threads do not disturb each other."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import ByteLevelBPETokenizer, Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast, RobertaTokenizer

from batch_classification.masking import mask_handles_and_links
from batch_classification.settings import BUNDLED_MODEL_PATH
from batch_inference.byte_level_bpe import BETWEEN_TEXTS, ByteLevelBpe
from batch_inference.engine import Engine
from batch_inference.tokenizer import TextTokenizer

REFERENCE = AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH)
TOKENIZER = TextTokenizer(AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH), mask_handles_and_links)


def test_ids_are_those_of_the_tokenizer_itself(tweets: list[str]) -> None:
    masked = [mask_handles_and_links(tweet) for tweet in tweets[:300]]
    expected = REFERENCE(masked, truncation=True, max_length=50).input_ids
    assert TOKENIZER.encode(tweets[:300], 50).rows.tolists() == expected


def test_truncation_keeps_the_special_tokens_and_is_reported() -> None:
    encoded = TOKENIZER.encode(["word " * 48, "word " * 49, "word " * 148], 50)
    assert encoded.rows.lengths.tolist() == [50, 50, 50]
    assert encoded.num_dropped.tolist() == [0, 1, 100]
    whole, cut, short = encoded.rows.tolists()
    assert whole == cut == short


def test_what_a_checkpoint_says_of_truncation_and_padding_does_not_count() -> None:
    trained = AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH)
    trained.backend_tokenizer.enable_truncation(max_length=128)
    trained.backend_tokenizer.enable_padding()
    encoded = TextTokenizer(trained, mask_handles_and_links).encode(["word " * 600, "word"], 512)
    assert encoded.rows.lengths.tolist() == [512, 3]
    assert encoded.num_dropped.tolist() == [90, 0]


def test_a_tokenizer_saved_with_truncation_and_padding_loses_nothing() -> None:
    saved = AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH)
    saved.backend_tokenizer.enable_truncation(10)
    saved.backend_tokenizer.enable_padding(length=300)
    texts = ["word " * 100, "word"]
    assert (
        TextTokenizer(saved, mask_handles_and_links).encode(texts, 512).rows.tolists()
        == TOKENIZER.encode(texts, 512).rows.tolists()
    )


def test_threads_with_different_limits_do_not_disturb_each_other() -> None:
    text = "word " * 300

    def lengths(limit: int) -> set[int]:
        return {TOKENIZER.encode([text], limit).rows.num_tokens for _ in range(60)}

    limits = [50, 60, 70, 80, 90, 100, 110, 120]
    with ThreadPoolExecutor(len(limits)) as pool:
        assert list(pool.map(lengths, limits)) == [{limit} for limit in limits]


def roberta_like(folder: Path) -> PreTrainedTokenizerBase:
    """A byte-level tokenizer of RoBERTa's kind, trained on a few sentences: its own cannot be downloaded here."""
    trained = ByteLevelBPETokenizer()
    sentences = ["I love this, don't you? It's great!", "what a waste of 100 dollars...", "ünïcödé 字字 😀😀 they'll"]
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(sentences * 5, vocab_size=600, min_frequency=2, special_tokens=special)
    trained.save_model(str(folder))
    return RobertaTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))


def unigram(special: list[str]) -> PreTrainedTokenizerBase:
    """A tokenizer of XLM-R's kind, with control tokens among its pieces as SentencePiece has them."""
    letters = [("▁", -2.0), *((letter, -3.0) for letter in "<>/[]CLSabcdefghijklmnopqrstuvwxyz")]
    backend = Tokenizer(models.Unigram([*((token, 0.0) for token in special), *letters], unk_id=special.index("<unk>")))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.add_special_tokens(special)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def word_level(special: list[str]) -> PreTrainedTokenizerBase:
    """A tokenizer that looks up whole words, control tokens among them."""
    vocabulary = {word: number for number, word in enumerate([*special, "awful", "it", "arrived"])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(special)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


CONTROL_WORDS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "[CLS]"]


@pytest.mark.parametrize("kind", ["bundled", "roberta", "unigram", "word level"])
@pytest.mark.parametrize("word", CONTROL_WORDS)
def test_a_control_word_in_a_text_is_text(kind: str, word: str, tmp_path: Path) -> None:
    tokenizer = {
        "bundled": lambda: AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH),
        "roberta": lambda: roberta_like(tmp_path),
        "unigram": lambda: unigram(CONTROL_WORDS),
        "word level": lambda: word_level(CONTROL_WORDS),
    }[kind]()
    control = set(tokenizer.all_special_ids) - (
        {tokenizer.unk_token_id} if kind in ("bundled", "word level") else set()
    )
    for text in (f"awful {word}it arrived{word}", f"{word}", f"awful {word} it", f"{word}{word}"):
        plain = TextTokenizer(tokenizer, mask_handles_and_links).encode_plain([text])
        assert not control & set(plain.input_ids.tolist()), text
        assert plain.num_tokens > 0


def test_what_looks_like_markup_is_no_control_token(engine: Engine) -> None:
    awful, other = engine.run(["awful <s>it arrived</s>", "awful <u>it arrived</u>"], 512).predictions
    assert awful.label == other.label == "NEGATIVE"


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return roberta_like(tmp_path_factory.mktemp("roberta"))


def test_byte_level_pairs_are_tiktokens_work(roberta: PreTrainedTokenizerBase) -> None:
    assert TextTokenizer(roberta, mask_handles_and_links).encode_plain.__func__ is ByteLevelBpe.encode


TEXTS_OF_ANY_KIND = st.lists(
    st.one_of(
        st.text(),
        st.text(alphabet=" \t\n\r\u00a0\u2003'sStTlLdDmMreEv1aé字!.\u0301\u200d😀"),
        st.text(alphabet=st.characters(categories=["Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Nd", "No"])),
        st.builds("".join, st.lists(st.sampled_from(["don't", "they'll", " ", "  ", BETWEEN_TEXTS, "a", "\n"]))),
    ),
    max_size=6,
)


def test_tiktoken_gives_the_ids_of_the_checkpoints_own_tokenizer(roberta: PreTrainedTokenizerBase) -> None:
    by_tiktoken = TextTokenizer(roberta, mask_handles_and_links).encode_plain

    @settings(max_examples=200, deadline=None)
    @given(TEXTS_OF_ANY_KIND)
    def check(texts: list[str]) -> None:
        texts = [text for text in texts if not any(token in text for token in roberta.all_special_tokens)]
        own = roberta.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
        assert by_tiktoken(texts).tolists() == [encoding.ids for encoding in own]

    check()


def test_where_tiktoken_differs_the_checkpoints_own_tokenizer_is_used(
    roberta: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # No checkpoint is known for which it does: the pattern is made to be wrong.
    monkeypatch.setattr("batch_inference.byte_level_bpe.GPT2_PATTERN", r"\S+|\s+")
    texts = ["I love this, don't you?"]
    own = roberta.backend_tokenizer.encode_batch(texts)
    assert TextTokenizer(roberta, mask_handles_and_links).encode(texts, 512).rows.tolists() == [
        encoding.ids for encoding in own
    ]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
