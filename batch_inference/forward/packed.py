"""A RoBERTa encoder for CPUs that computes no padding: the texts of a pass lie one after the other in one long row.

Linear layers, nine tenths of the work, see tokens and not texts; only attention needs to know where a text ends. Their
weights are stored in the layout of oneDNN's kernels. On an AMD EPYC with AVX-512 they are more than twice as fast as
those that torch takes by itself, MKL's; with AVX2 alone they are as fast (bench/, "The limit").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn.functional import embedding, layer_norm, scaled_dot_product_attention
from transformers import RobertaForSequenceClassification, XLMRobertaForSequenceClassification

from batch_inference.forward.attention_groups import AttentionGroup
from batch_inference.forward.kernels_cpu import FloatLinear, Int8Linear, can_run
from batch_inference.forward.rows import PackedRows, pack

NUM_FLOAT_BLOCKS = 1
"""First blocks that `int8` leaves in float32, for their inputs have the widest range. Mean change of a probability, and
macro recall lost, bundled model on 2,000 tweets: 0.010 and 0.0068 with every block quantised, 0.0066 and 0.0015 without
the first, 0.0025 and none without the first two."""

_gelu_ = torch.ops.aten.gelu_.default


class Linear(Protocol):
    """A linear layer: inputs of shape (tokens, inputs) to outputs of shape (tokens, outputs)."""

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True)
class Block:
    """One of the encoder's blocks; queries, keys and values come from one layer."""

    attention_in: Linear
    attention_out: Linear
    attention_norm: Any
    inner: Linear
    outer: Linear
    norm: Any

    @classmethod
    def of(cls, block: Any, linear: type[FloatLinear] | type[Int8Linear]) -> Block:
        """Take over the weights of a block of transformers' RoBERTa."""
        attention = block.attention.self
        parts = (attention.query, attention.key, attention.value)
        return cls(
            linear(torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])),
            linear(block.attention.output.dense.weight, block.attention.output.dense.bias),
            block.attention.output.LayerNorm,
            linear(block.intermediate.dense.weight, block.intermediate.dense.bias),
            linear(block.output.dense.weight, block.output.dense.bias),
            block.output.LayerNorm,
        )


def can_pack(model: Any, device: str, dtype: torch.dtype) -> bool:
    """Whether `PackedEncoder` knows this model, and this machine has what it needs."""
    return (
        device == "cpu"
        and isinstance(model, RobertaForSequenceClassification | XLMRobertaForSequenceClassification)
        and model.config.hidden_act == "gelu"
        and can_run(dtype)
    )


class PackedEncoder:
    """Computes the logits of a `RobertaForSequenceClassification` on a CPU, as transformers does but for rounding.

    Args:
        model: the model, in evaluation mode; the linear layers of its blocks are copied and may be dropped.
        is_int8: quantise the linear layers of the blocks, but for the first ones.
    """

    is_padded = False

    @torch.inference_mode()
    def __init__(self, model: Any, is_int8: bool) -> None:
        config, embeddings = model.config, model.roberta.embeddings
        self._pad_token_id = int(config.pad_token_id)
        self._num_heads = int(config.num_attention_heads)
        self._words = embeddings.word_embeddings.weight
        self._positions = embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
        self._norm = embeddings.LayerNorm
        self._blocks = [
            Block.of(block, Int8Linear if is_int8 and number >= NUM_FLOAT_BLOCKS else FloatLinear)
            for number, block in enumerate(model.roberta.encoder.layer)
        ]
        self._classifier = model.classifier

    def prepare(self, rows: Sequence[Sequence[int]]) -> PackedRows:
        """Lay rows of token ids one after the other; fastest where rows of like length are neighbours."""
        return pack(rows, self._pad_token_id)

    def logits(self, packed: PackedRows) -> torch.Tensor:
        """Run the encoder and the classification head; shape (rows, labels).

        Raises:
            IndexError: a row is longer than the position embeddings allow.
        """
        hidden = embedding(packed.input_ids, self._words) + embedding(packed.positions, self._positions)
        hidden = _normalised(hidden, self._norm)
        for block in self._blocks:
            # What follows a layer works in place, and not inside oneDNN's kernels: as a part of those it is slower for
            # small passes, and on AVX2 for large ones too.
            attended = self._attend(block.attention_in(hidden), packed.groups)
            hidden = _normalised(block.attention_out(attended).add_(hidden), block.attention_norm)
            hidden = _normalised(block.outer(_gelu_(block.inner(hidden))).add_(hidden), block.norm)
        logits: torch.Tensor = self._classifier(hidden[packed.first_tokens][:, None])
        return logits

    def _attend(self, projected: torch.Tensor, groups: Sequence[AttentionGroup]) -> torch.Tensor:
        """Attention within each row, one group at a time: (tokens, 3 x hidden) to (tokens, hidden)."""
        hidden_size = projected.shape[1] // 3
        attended = projected.new_empty((len(projected), hidden_size))
        start = 0
        for group in groups:
            end = start + group.num_tokens
            tokens = projected[start:end]
            # `index_select`, for indexing with brackets takes eight times as long.
            tokens = tokens if group.padded is None else tokens.index_select(0, group.padded)
            shape = (group.num_rows, group.length, 3, self._num_heads, hidden_size // self._num_heads)
            queries, keys, values = tokens.view(shape).permute(2, 0, 3, 1, 4).unbind()
            values = scaled_dot_product_attention(queries, keys, values, group.mask).transpose(1, 2)
            if group.real is None:
                attended[start:end].view(values.shape).copy_(values)
            else:
                places = values.reshape(-1, hidden_size)
                torch.index_select(places, 0, group.real, out=attended[start:end])
            start = end
        attended[start:] = 0
        return attended


def _normalised(hidden: torch.Tensor, norm: Any) -> torch.Tensor:
    return layer_norm(hidden, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
