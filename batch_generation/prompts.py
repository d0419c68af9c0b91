"""From prompts to token ids and from token ids to text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class PromptTokenizer:
    """A fast Hugging Face tokenizer that any number of threads may use at once.

    A prompt becomes the user's message in the tokenizer's chat template, if it has one, else it is taken as it is.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._backend = tokenizer.backend_tokenizer
        # State of the shared Rust object: changing it while another thread encodes raises "Already borrowed".
        self._backend.no_truncation()
        self._backend.no_padding()
        self.has_chat_template = bool(tokenizer.chat_template)
        self._apply_chat_template = tokenizer.apply_chat_template

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Token ids of each prompt, those of the template included."""
        if self.has_chat_template:
            prompts = [self._as_chat(prompt) for prompt in prompts]
        # A template spells out the special tokens itself.
        encodings = self._backend.encode_batch_fast(list(prompts), add_special_tokens=not self.has_chat_template)
        return [encoding.ids for encoding in encodings]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        text: str = self._backend.decode(list(token_ids), skip_special_tokens=True)
        return text

    def _as_chat(self, prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        text: str = self._apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return text
