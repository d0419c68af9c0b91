"""Models with the same tokenizer have a text tokenized once, for all of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from batch_inference.model import EncoderModel
from batch_inference.served_model import ServedModel
from batch_inference.token_rows import TokenRows
from batch_inference.tokenizer import EncodedTexts, TextTokenizer

logger = logging.getLogger(__name__)


def share_tokenizers(models: Iterable[EncoderModel]) -> None:
    """Give models whose tokenizers do the same to the same preparation of a text one tokenizer between them."""
    owners: dict[tuple[str, str], EncoderModel] = {}
    for model in models:
        owner = owners.setdefault((model.tokenizer.rules, model.head.text_preparation), model)
        if owner is not model:
            logger.info("%r shares the tokenizer of %r.", model.head.name, owner.head.name)
            model.tokenizer = owner.tokenizer


def encode_for_each(
    served: Sequence[ServedModel],
    max_length: int,
    window_stride: float | None,
    encode: Callable[[TextTokenizer], TokenRows],
) -> list[EncodedTexts]:
    """What each model sees of the same texts.

    Args:
        served: the models.
        max_length: tokens of a text, or of a window, that each may see at most.
        window_stride: as `TextTokenizer.encode` has it.
        encode: the whole texts' ids by a tokenizer; called once for each different one.
    """
    whole: dict[TextTokenizer, TokenRows] = {}
    framed: dict[tuple[TextTokenizer, int], EncodedTexts] = {}
    encoded = []
    for each in served:
        tokenizer, length = each.model.tokenizer, each.effective_max_length(max_length)
        if tokenizer not in whole:
            whole[tokenizer] = encode(tokenizer)
        if (tokenizer, length) not in framed:
            framed[tokenizer, length] = tokenizer.framed(whole[tokenizer], length, window_stride)
        encoded.append(framed[tokenizer, length])
    return encoded
