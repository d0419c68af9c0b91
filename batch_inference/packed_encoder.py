"""A RoBERTa encoder for CPUs that computes no padding: the texts of a pass lie one after the other in one long row.

Linear layers, nine tenths of the work, see tokens and not texts; only attention needs to know where a text ends. Their
weights are stored in the layout of oneDNN's kernels. On an AMD EPYC with AVX-512 they are more than twice as fast as
those that torch takes by itself, MKL's; with AVX2 alone they are as fast (bench/, "The limit").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import torch
from torch.nn.functional import embedding, layer_norm, scaled_dot_product_attention
from transformers import RobertaForSequenceClassification, XLMRobertaForSequenceClassification

from batch_inference.attention_groups import AttentionGroup, grouped

NUM_FLOAT_BLOCKS = 1
"""First blocks that `int8` leaves in float32, for their inputs have the widest range. Mean change of a probability, and
macro recall lost, bundled model on 2,000 tweets: 0.010 and 0.0068 with every block quantised, 0.0066 and 0.0015 without
the first, 0.0025 and none without the first two."""

_ONEDNN = torch.ops.mkldnn
_ONEDNN_INT8 = torch.ops.onednn
_gelu_ = torch.ops.aten.gelu_.default

_CAPABILITIES = torch.cpu.get_capabilities()
_HIGHEST_BYTE = 255 if _CAPABILITIES.get("avx512_vnni") or _CAPABILITIES.get("avx_vnni") else 127
"""Without VNNI, processors add two products in 16 bits, and 2 x 255 x 127 does not fit: seven bits have to do."""


@dataclass(frozen=True, slots=True)
class PackedRows:
    """The input of a pass without padding.

    Attributes:
        input_ids: of all rows, one after the other, and a few of no row at the end; shape (tokens,).
        positions: of those tokens in their rows, as the position embeddings count them; shape (tokens,).
        first_tokens: where each row starts; shape (rows,).
        groups: the rows, in order, as attention takes them.
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    first_tokens: torch.Tensor
    groups: tuple[AttentionGroup, ...]

    @property
    def num_rows(self) -> int:
        """How many rows."""
        return len(self.first_tokens)


class Linear(Protocol):
    """A linear layer: inputs of shape (tokens, inputs) to outputs of shape (tokens, outputs)."""

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor: ...


class FloatLinear:
    """In the weights' own precision: float32 or bfloat16."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        self._weight = _ONEDNN._reorder_linear_weight(weight)
        self._bias = bias

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = _ONEDNN._linear_pointwise.default(inputs, self._weight, self._bias, "none", [], "")
        return result


class Int8Linear:
    """Weights in int8, scaled per output channel; inputs as bytes, scaled together; sums and outputs in float32."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        self._scales = weight.abs().amax(dim=1) / 127
        self._zero_points = torch.zeros(len(weight), dtype=torch.int64)
        self._weight = _ONEDNN_INT8.qlinear_prepack((weight / self._scales[:, None]).round().to(torch.int8), None)
        self._bias = bias

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = _ONEDNN_INT8.qlinear_pointwise.default(
            *_quantised(inputs), self._weight, self._scales, self._zero_points, self._bias,
            1.0, 0, torch.float32, "none", [], "none",
        )  # fmt: skip
        return result


def _quantised(inputs: torch.Tensor) -> tuple[torch.Tensor, float, int]:
    """Inputs as bytes, their scale and what stands for zero: the range is that of the values, and has zero in it."""
    lowest, highest = map(float, torch.aminmax(inputs))
    lowest, highest = min(lowest, 0.0), max(highest, 0.0)
    scale = max(highest - lowest, 1e-12) / _HIGHEST_BYTE
    zero_point = round(-lowest / scale)
    # The conversion cuts off the fraction; one half more makes it round.
    return torch.add(zero_point + 0.5, inputs, alpha=1 / scale).to(torch.uint8), scale, zero_point


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
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and (dtype == torch.float32 or (dtype == torch.bfloat16 and bool(_ONEDNN._is_mkldnn_bf16_supported())))
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
        num_tokens = sum(map(len, rows))
        surplus = [self._pad_token_id] * (_rounded_up(num_tokens) - num_tokens)
        input_ids = torch.tensor([*chain.from_iterable(rows), *surplus])
        lengths = torch.tensor([len(row) for row in rows])
        first_tokens = lengths.cumsum(0) - lengths
        # As transformers counts them: a pad token, which a text may spell out, has the position before the first.
        is_counted = (input_ids != self._pad_token_id).long()
        counts = is_counted.cumsum(0)
        counts_before = counts.new_zeros(len(counts))
        counts_before[:num_tokens] = (counts - is_counted)[first_tokens].repeat_interleave(lengths)
        positions = (counts - counts_before) * is_counted + self._pad_token_id
        groups = tuple(AttentionGroup.of(group) for group in grouped([len(row) for row in rows]))
        return PackedRows(input_ids, positions, first_tokens, groups)

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


def _rounded_up(num_tokens: int) -> int:
    """Up to a sixteenth more, so that passes have few different sizes and find memory of theirs that is free.

    With sizes all different, the process held 639 MiB after 2,500 tweets and 793 MiB after 25,000; so it is 519 and
    532 MiB (bundled model).
    """
    step = max(1, 1 << (num_tokens.bit_length() - 5)) if num_tokens >= 32 else 1
    return -(-num_tokens // step) * step


def _normalised(hidden: torch.Tensor, norm: Any) -> torch.Tensor:
    return layer_norm(hidden, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
