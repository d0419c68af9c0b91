"""Where transformers keeps the weights of encoders that can run without padding: RoBERTa, XLM-R, CamemBERT, BERT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import (
    BertForSequenceClassification,
    BertModel,
    CamembertForSequenceClassification,
    CamembertModel,
    RobertaForSequenceClassification,
    RobertaModel,
    XLMRobertaForSequenceClassification,
    XLMRobertaModel,
)

_ROBERTAS = RobertaModel | XLMRobertaModel | CamembertModel
_ROBERTA_CLASSIFIERS = (
    RobertaForSequenceClassification | XLMRobertaForSequenceClassification | CamembertForSequenceClassification
)


@dataclass(frozen=True, slots=True)
class Affine:
    """Weight and bias: of a linear layer, shapes (outputs, inputs) and (outputs,); of a norm, both (hidden,)."""

    weight: torch.Tensor
    bias: torch.Tensor

    @classmethod
    def of(cls, *layers: Any) -> Affine:
        """Those of one layer, or of several that see the same inputs as if they were one."""
        if len(layers) == 1:
            return cls(layers[0].weight, layers[0].bias)
        return cls(torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers]))


@dataclass(frozen=True, slots=True)
class BlockWeights:
    """One of an encoder's blocks; `attention_in` gives queries, keys and values, in this order."""

    attention_in: Affine
    attention_out: Affine
    attention_norm: Affine
    inner: Affine
    outer: Affine
    norm: Affine

    @classmethod
    def of(cls, block: Any) -> BlockWeights:
        """Of a block of transformers' own."""
        attention = block.attention.self
        return cls(
            Affine.of(attention.query, attention.key, attention.value),
            Affine.of(block.attention.output.dense),
            Affine.of(block.attention.output.LayerNorm),
            Affine.of(block.intermediate.dense),
            Affine.of(block.output.dense),
            Affine.of(block.output.LayerNorm),
        )


@dataclass(frozen=True, slots=True)
class EncoderWeights:
    """An encoder without what sits on top of it.

    Attributes:
        words, positions: embeddings; the positions' include those of the only token type there is here, the first.
        norm: of the embeddings.
        blocks: in their order.
        epsilon: what the norms add to a variance.
        num_heads: of attention.
        pad_token_id: what padding is filled with; 0 if the model has none.
        first_position: that of a row's first token.
        is_pad_skipped: a pad token that a text spells out does not count, and has the position before the first.
    """

    words: torch.Tensor
    positions: torch.Tensor
    norm: Affine
    blocks: tuple[BlockWeights, ...]
    epsilon: float
    num_heads: int
    pad_token_id: int
    first_position: int
    is_pad_skipped: bool

    @classmethod
    def of(cls, encoder: Any) -> EncoderWeights:
        """Of an encoder for which `can_pack` holds."""
        config, embeddings = encoder.config, encoder.embeddings
        is_roberta = isinstance(encoder, _ROBERTAS)
        return cls(
            words=embeddings.word_embeddings.weight,
            positions=embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0],
            norm=Affine.of(embeddings.LayerNorm),
            blocks=tuple(BlockWeights.of(block) for block in encoder.encoder.layer),
            epsilon=float(config.layer_norm_eps),
            num_heads=int(config.num_attention_heads),
            pad_token_id=int(config.pad_token_id or 0),
            first_position=int(config.pad_token_id) + 1 if is_roberta else 0,
            is_pad_skipped=is_roberta,
        )

    @property
    def max_tokens(self) -> int:
        """Longest row that the position embeddings allow."""
        return len(self.positions) - self.first_position


def scale_queries(weights: EncoderWeights) -> EncoderWeights:
    """The same encoder, its queries divided by the square root of a head's size, so that attention need not."""
    hidden_size = len(weights.norm.weight)
    scales = torch.ones(3 * hidden_size)
    scales[:hidden_size] = (hidden_size / weights.num_heads) ** -0.5

    def scaled(layer: Affine) -> Affine:
        by_output = scales.to(layer.weight)
        return Affine(layer.weight * by_output[:, None], layer.bias * by_output)

    blocks = (replace(block, attention_in=scaled(block.attention_in)) for block in weights.blocks)
    return replace(weights, blocks=tuple(blocks))


def can_pack(encoder: Any) -> bool:
    """Whether this encoder, such as a classifier's `base_model`, is one of those whose weights are known here."""
    return (
        isinstance(encoder, _ROBERTAS | BertModel)
        and encoder.config.hidden_act == "gelu"
        and not getattr(encoder.config, "is_decoder", False)
    )


@dataclass(frozen=True, slots=True)
class HeadWeights:
    """A classifier on a row's first token: a linear layer, tanh, and a linear layer to the labels."""

    dense: Affine
    out: Affine

    @classmethod
    def of(cls, model: Any) -> HeadWeights | None:
        """Those of a classifier of transformers; None if it has another kind of head."""
        if isinstance(model, _ROBERTA_CLASSIFIERS):
            return cls(Affine.of(model.classifier.dense), Affine.of(model.classifier.out_proj))
        if isinstance(model, BertForSequenceClassification):
            return cls(Affine.of(model.bert.pooler.dense), Affine.of(model.classifier))
        return None
