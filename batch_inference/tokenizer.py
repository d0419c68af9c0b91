"""From text to token ids: prepared, truncated, never padded. Padding belongs to a forward pass."""

from __future__ import annotations

import hashlib
import json
import logging
import random
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from batch_inference.byte_level_bpe import ByteLevelBpe
from batch_inference.slow_tokenizer import encode_slowly
from batch_inference.token_rows import Indices, Int32Array, TokenRows
from batch_inference.windows import Windows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

PlainEncoder = Callable[[Sequence[str]], TokenRows]
"""From whole texts to their ids, without special tokens. Any number of threads may call it at once."""

NUM_ODD_TEXTS = 300
_ODD_PIECES = [
    *"aZéßΩяعשक中の한๑①½²_-'\"…€@#&\\/()1\u2019",
    *" \t\n\r\u00a0\u2003\u200b\u200d\ufe0f\u0301\u0085\u2028\U000e0001\x01\x7f\ufffd",
    *(
        "'s",
        "'T",
        "'ll",
        "'re",
        "n't",
        "I'm",
        "hello",
        "Hello",
        "HELLO",
        "world",
        "http",
        "@user",
        "www.",
        "23",
        "4567",
    ),
    *("  ", "   ", "\r\n", "😀", "👩\u200d🚀", "🇫🇷", "👍🏽", "❤\ufe0f", "!!!", "...", "$$"),
]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTexts:
    """What the model sees of some texts.

    Attributes:
        rows: their token ids, special tokens included; several rows for a text that is read in windows.
        num_tokens: different tokens of each text that the model sees, special tokens included; int32, shape (texts,).
        num_dropped: tokens of each text that were cut off; int32, shape (texts,).
        num_windows: rows of each text; int32, shape (texts,).
        weights: tokens of its text that each row adds to those before it; int32, shape (rows,).
    """

    rows: TokenRows
    num_tokens: Int32Array
    num_dropped: Int32Array
    num_windows: Int32Array
    weights: Int32Array

    def __len__(self) -> int:
        return len(self.num_tokens)

    @classmethod
    def joined(cls, parts: Sequence[EncodedTexts]) -> EncodedTexts:
        """The texts of all parts, in their order; at least one part."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            TokenRows.joined([part.rows for part in parts]),
            np.concatenate([part.num_tokens for part in parts]),
            np.concatenate([part.num_dropped for part in parts]),
            np.concatenate([part.num_windows for part in parts]),
            np.concatenate([part.weights for part in parts]),
        )

    def select(self, texts: Indices) -> EncodedTexts:
        """The texts at these indices, if each has one row."""
        return EncodedTexts(
            self.rows.select(texts),
            self.num_tokens[texts],
            self.num_dropped[texts],
            self.num_windows[texts],
            self.weights[texts],
        )

    def part(self, start: int, end: int) -> EncodedTexts:
        """Texts `start` to `end` (exclusive)."""
        first = int(self.num_windows[:start].sum())
        last = first + int(self.num_windows[start:end].sum())
        return EncodedTexts(
            self.rows.part(first, last),
            self.num_tokens[start:end],
            self.num_dropped[start:end],
            self.num_windows[start:end],
            self.weights[first:last],
        )


class TextTokenizer:
    """A checkpoint's tokenizer, which any number of threads may use at once.

    A text is text whatever it spells: `<s>` or `[SEP]` in it is the characters, not a control token. Tokens that a
    training added for texts to hold, such as `[E1]`, stay tokens. For byte-level BPE tiktoken does the work, if it
    gives the same ids as the checkpoint's own tokenizer on a few hundred odd texts.

    Attributes:
        encode_plain: from whole texts, as they are, to their ids.
        rules: stands for all that decides which ids a prepared text gets: equal for tokenizers that do the same,
            whatever they are called and wherever they are from.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prepare_text: Callable[[str], str]) -> None:
        self._prepare_text = prepare_text
        self._keeps_end = tokenizer.truncation_side == "left"
        if not tokenizer.is_fast:
            self._prefix, self._suffix = _frame(
                tokenizer("a")["input_ids"], tokenizer.encode("a", add_special_tokens=False)
            )
            self.encode_plain = encode_slowly(tokenizer)
            # Its rules are in its code: only what it does can be compared.
            known = [tokenizer.get_vocab(), self.encode_plain(_odd_texts()).tolists()]
            self.rules = _digest([type(tokenizer).__name__, known, self._prefix, self._suffix, self._keeps_end])
            return
        backend = tokenizer.backend_tokenizer
        # A checkpoint's tokenizer.json may carry the settings of its training.
        backend.no_truncation()
        backend.no_padding()
        self._prefix, self._suffix = _special_ids(backend)
        control_words = _control_words(tokenizer, {*self._prefix, *self._suffix})
        state = state_without_control_words(backend, control_words)
        self.encode_plain = _by_tiktoken(state) or _by_tokenizers(state)
        self.rules = _digest([_rules_of(state), self._prefix, self._suffix, self._keeps_end])

    def encode(self, texts: Sequence[str], max_length: int, window_stride: float | None = None) -> EncodedTexts:
        """Encode texts, prepared as the model wants them, into rows of at most `max_length` ids.

        Args:
            texts: the texts.
            max_length: ids of a row, special tokens included.
            window_stride: read longer texts in windows that start so far after each other, as a share of a window's
                tokens; if None, cut them off.
        """
        return self.framed(self.encode_whole(texts), max_length, window_stride)

    def encode_whole(self, texts: Sequence[str]) -> TokenRows:
        """All ids of texts, prepared as the model wants them, without special tokens."""
        return self.encode_plain([self._prepare_text(text) for text in texts])

    def framed(self, whole: TokenRows, max_length: int, window_stride: float | None = None) -> EncodedTexts:
        """The rows of texts that `encode_whole` has encoded; as `encode`."""
        num_special = len(self._prefix) + len(self._suffix)
        room = max_length - num_special
        seen = whole.cut(room, keeps_end=self._keeps_end) if window_stride is None else whole
        windows = Windows.one_each(seen) if window_stride is None else Windows.over(seen, room, window_stride)
        return EncodedTexts(
            windows.rows.framed(self._prefix, self._suffix),
            seen.lengths + np.int32(num_special),
            whole.lengths - seen.lengths,
            windows.counts,
            windows.weights,
        )


def _rules_of(state: dict[str, Any]) -> dict[str, Any]:
    """The part of a fast tokenizer's state that decides which ids a text gets."""
    rules: dict[str, Any] = {name: state[name] for name in ("added_tokens", "normalizer", "pre_tokenizer", "model")}
    return rules


def _digest(rules: object) -> str:
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()


def _special_ids(backend: Any) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and after every text."""
    framed = backend.encode("a", add_special_tokens=True).ids
    return _frame(framed, backend.encode("a", add_special_tokens=False).ids)


def _frame(framed: list[int], plain: list[int]) -> tuple[list[int], list[int]]:
    start = next(i for i in range(len(framed)) if framed[i : i + len(plain)] == plain)
    return framed[:start], framed[start + len(plain) :]


def _control_words(tokenizer: PreTrainedTokenizerBase, frame: Set[int]) -> set[str]:
    """Special tokens with a part of their own, such as to begin a row. Others were added for texts to spell."""
    named = set(tokenizer.special_tokens_map.values())
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    return {
        token.content
        for token_id, token in added.items()
        if token.special and (token.content in named or token_id in frame)
    }


def state_without_control_words(backend: Any, control_words: Set[str] | None = None) -> dict[str, Any]:
    """The tokenizer's state such that no text can spell a control word: one of these, or any special token.

    They are found before anything else is done to a text, unless they are not among the added tokens. And where whole
    words or pieces are looked up (all models but BPE, which merges its way up), they must not be found there either.
    """
    state: dict[str, Any] = json.loads(backend.to_str())
    if control_words is None:
        control_words = {token["content"] for token in state["added_tokens"] if token["special"]}
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in control_words]
    state["post_processor"] = None
    model = state["model"]

    def renamed(piece: str) -> str:
        return f"\0{piece}\0" if piece in control_words else piece

    if model["type"] == "Unigram":
        model["vocab"] = [[renamed(piece), score] for piece, score in model["vocab"]]
    elif model["type"] != "BPE":
        model["vocab"] = {renamed(piece): token_id for piece, token_id in model["vocab"].items()}
        model["unk_token"] = renamed(model["unk_token"])
    return state


def _by_tokenizers(state: dict[str, Any]) -> PlainEncoder:
    backend = Tokenizer.from_str(json.dumps(state))

    def encode(texts: Sequence[str]) -> TokenRows:
        return TokenRows.of([encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)])

    return encode


def _by_tiktoken(state: dict[str, Any]) -> PlainEncoder | None:
    """tiktoken, if it knows this kind of tokenizer and agrees with tokenizers."""
    byte_level = ByteLevelBpe.of(state)
    if byte_level is None:
        return None
    odd_texts = _odd_texts()
    expected = _by_tokenizers(state)(odd_texts).tolists()
    for text, ids, other in zip(odd_texts, byte_level.encode(odd_texts).tolists(), expected, strict=True):
        if ids != other:
            logger.warning("tiktoken gives %r other ids than the model's own tokenizer, which is used instead.", text)
            return None
    return byte_level.encode


def _odd_texts() -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choices(_ODD_PIECES, k=rng.randrange(1, 24))) for _ in range(NUM_ODD_TEXTS)]
