"""Random choice of the next token that depends on the caller's seed alone, and not on what else is in the step.

transformers' continuous batching draws all tokens of a step from one generator, so that an answer depends on its
company, and a seed means nothing. But the token with the largest `logit + noise` is a draw from the softmax of the
logits, if the noise is from the standard Gumbel distribution (Gumbel, 1954; "the Gumbel-max trick"). So the noise is
added here, from a hash of the seed, the position and the token, and transformers takes the largest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
    ContinuousBatchingTemperatureLogitsWarper,
)

NO_NOISE = 0
MIN_TEMPERATURE = 1e-6
"""Divided by less, logits would leave float32, and what they leave is no number."""

_MASK = 0xFFFF_FFFF


@dataclass(frozen=True)
class Sampling:
    """How the tokens of an answer are chosen.

    Attributes:
        temperature: less than `MIN_TEMPERATURE` takes the most probable token always; 1 draws from the model's own
            distribution.
        seed: the same seed, prompt and place in the request give the same answer.
    """

    temperature: float
    seed: int

    @property
    def is_greedy(self) -> bool:
        """Whether the most probable token is taken always."""
        return self.temperature < MIN_TEMPERATURE

    def arguments(self, order: int) -> dict[str, Any]:
        """What the processors want to know about the prompt with this index in its request."""
        if self.is_greedy:
            return {}
        stream = int.from_bytes(_hash(f"{self.seed}/{order}", 8))
        return {"temperature": float(self.temperature), "noise_stream": stream}


def seeded_sampling() -> ContinuousBatchingLogitsProcessorList:
    """The processors of a manager that takes the largest score: temperature and noise, each request its own."""
    processors = [ContinuousBatchingTemperatureLogitsWarper(TemperatureLogitsWarper(1.0)), SeededNoise()]
    result = ContinuousBatchingLogitsProcessorList(LogitsProcessorList(processors))
    result.tensors_required = len(processors)
    return result


class SeededNoise(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]
    """Adds Gumbel noise to the scores of requests that have a `noise_stream`."""

    supported_kwargs: dict[str, type] = {"noise_stream": int}  # noqa: RUF012
    ignored_kwargs: tuple[str, ...] = ()

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.fill_(NO_NOISE)

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        """One key for each token to choose, from the request's stream and the token's position."""
        return torch.tensor([_key(request.state) for request in requests_with_new_token], dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        keys = tensor_arg[: len(scores)].long() & _MASK
        is_noisy = keys != NO_NOISE
        if not is_noisy.any():
            return scores
        return torch.where(is_noisy[:, None], scores + gumbel_noise(keys, scores.shape[1]), scores)


def gumbel_noise(keys: torch.Tensor, num_tokens: int) -> torch.Tensor:
    """Standard Gumbel noise, a row for each 32-bit key; shape (keys, tokens), float32."""
    tokens = torch.arange(num_tokens, device=keys.device)
    # 23 bits and a half: float32 holds them exactly, and neither 0 nor 1 is among them.
    uniform = ((_mixed(_mixed(tokens) ^ keys[:, None]) >> 9).float() + 0.5) / 2**23
    return -torch.log(-torch.log(uniform))


def _key(state: Any) -> int:
    stream = state.logit_processor_kwargs.get("noise_stream")
    if stream is None:
        return NO_NOISE
    # The position survives when transformers moves a request out of a full cache and starts it anew.
    key = int.from_bytes(_hash(f"{stream}/{state.position_offset}", 4), signed=True)
    return key if key != NO_NOISE else 1


def _hash(text: str, num_bytes: int) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=num_bytes).digest()


def _mixed(values: torch.Tensor) -> torch.Tensor:
    """A hash of 32-bit numbers: `lowbias32` of Chris Wellons' hash-prospector (2018), in 64-bit tensors."""
    values = values ^ (values >> 16)
    values = (values * 0x7FEB352D) & _MASK
    values = values ^ (values >> 15)
    values = (values * 0x846CA68B) & _MASK
    return values ^ (values >> 16)
