"""Passes without padding: the texts of a pass lie one after the other in one long row.

Linear layers, nine tenths of the work, see tokens and not texts; only attention needs to know where a text ends. The
loop over the blocks is here, once; `kernels_cpu.py` and `kernels_cuda.py` have what a kind of device does its own way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import embedding, linear

from batch_inference.forward.buckets import Bucket
from batch_inference.forward.kernels import DeviceRows, Kernels
from batch_inference.forward.rows import PackedRows, pack
from batch_inference.forward.weights import Affine, BlockWeights, EncoderWeights, HeadWeights
from batch_inference.token_rows import TokenRows


class PackedEncoder:
    """Hidden states of an encoder's last block, as transformers computes them but for rounding.

    All weights and activations are in one precision, so autocast has nothing to add. Left on, it would run the norms in
    float32 on a GPU, with a cast before and one after each: hence it is off in here, which takes 5 us a pass.

    Args:
        encoder: of transformers, in evaluation mode; `weights.can_pack` holds for it.
        kernels: how its device computes it.
        is_first_wanted: whether only the first token of each row is looked at, which spares most of the last block.
    """

    @torch.inference_mode()
    def __init__(self, encoder: Any, kernels: Kernels, is_first_wanted: bool = False) -> None:
        weights = kernels.adapt(EncoderWeights.of(encoder))
        self._weights = weights
        self._kernels = kernels
        self._norm = _Norm(weights.norm, weights.epsilon)
        last = weights.blocks[-1]
        self._blocks = [_Block(block, weights, kernels, is_first_wanted and block is last) for block in weights.blocks]
        kernels.calibrate(lambda rows: self.hidden_states(self.prepare(rows)))

    def prepare(self, rows: TokenRows) -> DeviceRows:
        """Lay rows of token ids one after the other, on the device.

        Raises:
            IndexError: a row or an id has no embedding.
        """
        return self._kernels.to_device(self.pack(rows))

    def pack(self, rows: TokenRows, bucket: Bucket | None = None) -> PackedRows:
        """The same on the host; filled up to a bucket, if there is one.

        Raises:
            as `prepare`.
        """
        return pack(rows, self._weights, bucket)

    def hidden_states(self, rows: DeviceRows) -> torch.Tensor:
        """Run the encoder on rows as `prepare` gave them; shape (tokens, hidden), or (rows, hidden) of first tokens."""
        with torch.autocast(rows.input_ids.device.type, enabled=False):
            hidden = embedding(rows.input_ids, self._weights.words)
            hidden = self._norm(hidden.add_(embedding(rows.positions, self._weights.positions)))
            for block in self._blocks:
                hidden = block(hidden, rows)
            return hidden


class PackedClassifier:
    """A sequence classifier of transformers on a `PackedEncoder`. The head computes in float32.

    Args:
        model: in evaluation mode; `can_classify` holds for it. Its layers are copied and may be dropped.
        kernels: how its device computes the encoder.
    """

    is_padded = False

    @torch.inference_mode()
    def __init__(self, model: Any, kernels: Kernels) -> None:
        self._encoder = PackedEncoder(model.base_model, kernels, is_first_wanted=True)
        head = HeadWeights.of(model)
        assert head is not None
        self._dense, self._out = (Affine(part.weight.float(), part.bias.float()) for part in (head.dense, head.out))

    def prepare(self, rows: TokenRows) -> DeviceRows:
        """As `PackedEncoder.prepare`."""
        return self._encoder.prepare(rows)

    def pack(self, rows: TokenRows, bucket: Bucket | None = None) -> PackedRows:
        """As `PackedEncoder.pack`."""
        return self._encoder.pack(rows, bucket)

    def logits(self, rows: DeviceRows) -> torch.Tensor:
        """One forward pass; float32, shape (rows, labels)."""
        first = self._encoder.hidden_states(rows).float()
        with torch.autocast(first.device.type, enabled=False):
            dense = torch.tanh(linear(first, self._dense.weight, self._dense.bias))
            return linear(dense, self._out.weight, self._out.bias)


class _Block:
    """One block. What follows a layer is the layer's: devices differ in whether it is best a part of its kernel."""

    def __init__(self, block: BlockWeights, weights: EncoderWeights, kernels: Kernels, is_first_wanted: bool) -> None:
        attention = kernels.first_attention if is_first_wanted else kernels.attention
        self._attention = attention(block.attention_in, weights.num_heads)
        self._is_first_wanted = is_first_wanted
        self._attention_out = kernels.linear(block.attention_out)
        self._feed_forward = kernels.feed_forward(block.inner, block.outer)
        self._attention_norm = _Norm(block.attention_norm, weights.epsilon)
        self._norm = _Norm(block.norm, weights.epsilon)

    def __call__(self, hidden: torch.Tensor, rows: DeviceRows) -> torch.Tensor:
        attended = self._attention(hidden, rows)
        if self._is_first_wanted:
            hidden = hidden.index_select(0, rows.first_tokens)
        hidden = self._attention_norm(self._attention_out.plus(attended, hidden))
        return self._norm(self._feed_forward(hidden))


class _Norm:
    """A layer norm."""

    def __init__(self, weights: Affine, epsilon: float) -> None:
        self._weights = weights
        self._shape = weights.weight.shape
        self._epsilon = epsilon

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.layer_norm(hidden, self._shape, self._weights.weight, self._weights.bias, self._epsilon)
