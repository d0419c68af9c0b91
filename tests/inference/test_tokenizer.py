"""Tokenizing: truncation is counted, nothing is padded, threads do not disturb each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from transformers import AutoTokenizer

from batch_inference.masking import mask_handles_and_links
from batch_inference.settings import BUNDLED_MODEL_PATH
from batch_inference.tokenizer import TextTokenizer

REFERENCE = AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH)
TOKENIZER = TextTokenizer(AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH))


def test_ids_are_those_of_the_tokenizer_itself(tweets: list[str]) -> None:
    masked = [mask_handles_and_links(tweet) for tweet in tweets[:300]]
    expected = REFERENCE(masked, truncation=True, max_length=50).input_ids
    assert [text.input_ids for text in TOKENIZER.encode(tweets[:300], 50)] == expected


def test_truncation_keeps_the_special_tokens_and_is_reported() -> None:
    whole, cut = TOKENIZER.encode(["word " * 48, "word " * 49], 50)
    assert len(whole.input_ids) == 50
    assert not whole.is_truncated
    assert len(cut.input_ids) == 50
    assert cut.is_truncated
    assert cut.input_ids == whole.input_ids


def test_what_a_checkpoint_says_of_truncation_and_padding_does_not_count() -> None:
    trained = AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH)
    trained.backend_tokenizer.enable_truncation(max_length=128)
    trained.backend_tokenizer.enable_padding()
    long, short = TextTokenizer(trained).encode(["word " * 600, "word"], 512)
    assert (len(long.input_ids), long.is_truncated) == (512, True)
    assert (len(short.input_ids), short.is_truncated) == (3, False)


def test_a_tokenizer_saved_with_truncation_and_padding_loses_nothing() -> None:
    saved = AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH)
    saved.backend_tokenizer.enable_truncation(10)
    saved.backend_tokenizer.enable_padding(length=300)
    texts = ["word " * 100, "word"]
    assert TextTokenizer(saved).encode(texts, 512) == TOKENIZER.encode(texts, 512)


def test_threads_with_different_limits_do_not_disturb_each_other() -> None:
    text = "word " * 300

    def lengths(limit: int) -> set[int]:
        return {len(TOKENIZER.encode([text], limit)[0].input_ids) for _ in range(200)}

    limits = [50, 60, 70, 80, 90, 100, 110, 120]
    with ThreadPoolExecutor(len(limits)) as pool:
        assert list(pool.map(lengths, limits)) == [{limit} for limit in limits]
