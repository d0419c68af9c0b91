"""From text to token ids: masked, truncated, never padded. Padding belongs to a forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch_inference.masking import mask_handles_and_links

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class EncodedText:
    """Token ids of one text, special tokens included; `is_truncated` says that some of the text is missing."""

    input_ids: list[int]
    is_truncated: bool


class TextTokenizer:
    """A fast Hugging Face tokenizer that any number of threads may use at once.

    The tokenizer's own truncation and padding are off, and never turned on: they are state of the shared Rust object,
    and changing it while another thread encodes raises "Already borrowed".
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        backend = tokenizer.backend_tokenizer
        # A checkpoint's tokenizer.json may carry the settings of its training.
        backend.no_truncation()
        backend.no_padding()
        self._encode_batch = backend.encode_batch_fast
        with_special = self._encode_batch(["a"], add_special_tokens=True)[0].ids
        without = self._encode_batch(["a"], add_special_tokens=False)[0].ids
        start = next(i for i in range(len(with_special)) if with_special[i : i + len(without)] == without)
        self._prefix, self._suffix = with_special[:start], with_special[start + len(without) :]

    def encode(self, texts: Sequence[str], max_length: int) -> list[EncodedText]:
        """Encode texts, each to at most `max_length` ids. Handles and links are masked first."""
        room = max_length - len(self._prefix) - len(self._suffix)
        masked = [mask_handles_and_links(text) for text in texts]
        encodings = self._encode_batch(masked, add_special_tokens=False)
        return [
            EncodedText([*self._prefix, *ids[:room], *self._suffix], is_truncated=len(ids) > room)
            for ids in (encoding.ids for encoding in encodings)
        ]
