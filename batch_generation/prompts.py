"""From prompts to token ids and from token ids to text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from tokenizers import Tokenizer

from batch_inference.errors import ModelLoadError
from batch_inference.tokenizer import state_without_control_words

_CONTENT: Final = "\ue000prompt\ue000"
"""Stands for a prompt while the template around it is made: two characters of no script."""


class PromptTokenizer:
    """A fast Hugging Face tokenizer that any number of threads may use at once.

    A prompt becomes the user's message in the tokenizer's chat template, if it has one, else it is taken as it is. It
    is text whatever it spells: `<|im_end|>` in it is the characters, and closes nothing.

    Raises:
        ModelLoadError: the tokenizer is written in Python.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not tokenizer.is_fast:
            raise ModelLoadError(
                f"the model's tokenizer, a {type(tokenizer).__name__}, is one that transformers has in Python only. "
                "Use a checkpoint with a tokenizer.json."
            )
        self._backend = tokenizer.backend_tokenizer
        # State of the shared Rust object: changing it while another thread encodes raises "Already borrowed".
        self._backend.no_truncation()
        self._backend.no_padding()
        self.has_chat_template = bool(tokenizer.chat_template)
        self._apply_chat_template = tokenizer.apply_chat_template
        self._plain = Tokenizer.from_str(json.dumps(state_without_control_words(self._backend)))
        added = self._backend.get_added_tokens_decoder()
        self._control = {token.content: token_id for token_id, token in added.items() if token.special}
        longest_first = sorted(self._control, key=len, reverse=True)
        self._control_word = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Token ids of each prompt, those of the template included."""
        return [self._encode(prompt) for prompt in prompts]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        text: str = self._backend.decode(list(token_ids), skip_special_tokens=True)
        return text

    def _encode(self, prompt: str) -> list[int]:
        rendered = self._as_chat(prompt) if self.has_chat_template else prompt
        if not self._control_word.search(prompt):
            # A template spells out the special tokens itself.
            ids: list[int] = self._backend.encode(rendered, add_special_tokens=not self.has_chat_template).ids
            return ids
        if not self.has_chat_template:
            framed, plain = (self._backend.encode("a", add_special_tokens=special).ids for special in (True, False))
            start = next(i for i in range(len(framed)) if framed[i : i + len(plain)] == plain)
            return [*framed[:start], *self._plain_ids(prompt), *framed[start + len(plain) :]]
        before, _, after = self._as_chat(_CONTENT).partition(_CONTENT)
        content = rendered.removeprefix(before).removesuffix(after)
        return self._around(before, content, after)

    def _around(self, before: str, content: str, after: str) -> list[int]:
        """As the tokenizer does it: control words first, then the text between each two of them. `content` has none."""
        ids: list[int] = []
        text = ""
        for part, has_control in ((before, True), (content, False), (after, True)):
            end = 0
            for word in self._control_word.finditer(part) if has_control else ():
                ids += [*self._plain_ids(text + part[end : word.start()]), self._control[word[0]]]
                text, end = "", word.end()
            text += part[end:]
        return ids + self._plain_ids(text)

    def _plain_ids(self, text: str) -> list[int]:
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids if text else []
        return ids

    def _as_chat(self, prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        text: str = self._apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return text
