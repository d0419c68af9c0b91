"""How things are timed, and what is measured on: the plan of a run, on a GPU or dry on a CPU."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification

from batch_classification.masking import mask_handles_and_links
from batch_classification.settings import ClassifierSettings
from batch_inference.forward.row_layout import RowLayout
from batch_inference.settings import load_settings
from batch_inference.token_rows import TokenRows
from batch_inference.tokenizer import TextTokenizer
from bench.checkpoints import BUNDLED, checkpoint
from rehearsal.texts import LabelledText, default_texts, read_labelled
from tools.check_gpu.parts import Figures

__all__ = ["MAX_TOKENS", "ROBERTA_LAYOUT", "Figures", "Run"]

MAX_TOKENS = 512
ROBERTA_LAYOUT = RowLayout(pad_token_id=1)


@dataclass(frozen=True)
class Run:
    """What is measured, and how much of it.

    Attributes:
        is_dry: on a CPU, with tiny sizes: every line but the kernels runs, and no figure means anything.
    """

    is_dry: bool

    @property
    def device(self) -> str:
        """Where the passes run."""
        return "cpu" if self.is_dry else "cuda:0"

    @property
    def dtype(self) -> torch.dtype:
        """What the passes compute in."""
        return torch.float32 if self.is_dry else torch.float16

    @property
    def settings(self) -> ClassifierSettings:
        """The engine's. It keeps no answers: every text is to reach the model."""
        return load_settings(
            ClassifierSettings, model=str(self.folder), device=self.device.split(":")[0], answer_cache_mib=0
        )

    @cached_property
    def folder(self) -> Path:
        """The checkpoint: RoBERTa-base with random weights; dry, the bundled model, which is small."""
        return BUNDLED if self.is_dry else checkpoint("roberta-base")

    @cached_property
    def labelled(self) -> list[LabelledText]:
        """The texts, with what people said about them."""
        return read_labelled(default_texts())[: 24 if self.is_dry else None]

    @cached_property
    def texts(self) -> list[str]:
        """The texts alone."""
        return [labelled.text for labelled in self.labelled]

    @cached_property
    def tweets(self) -> list[list[int]]:
        """Their rows of token ids."""
        from transformers import AutoTokenizer

        tokenizer = TextTokenizer(AutoTokenizer.from_pretrained(self.folder), mask_handles_and_links)
        return tokenizer.encode(self.texts, MAX_TOKENS).rows.tolists()

    def upload(self, array: NDArray[Any]) -> torch.Tensor:
        """Bring an array to the device, in no hurry."""
        return torch.from_numpy(array).to(self.device)

    def model(self, dtype: torch.dtype, device: str | None = None, folder: Path | None = None) -> Any:
        """transformers' model, in evaluation mode; of another checkpoint if there is one."""
        model = AutoModelForSequenceClassification.from_pretrained(folder or self.folder, dtype=dtype)
        return model.eval().to(device or self.device)

    def rows(self, kind: str, num_tokens: int) -> TokenRows:
        """Rows of about so many tokens together: `tweets`, `mixed` (one in ten is long), or all of one length."""
        rng = np.random.default_rng(0)
        rows: list[list[int]] = []
        while sum(map(len, rows)) < num_tokens:
            if kind == "tweets" or (kind == "mixed" and len(rows) % 10):
                rows.append(self.tweets[len(rows) % len(self.tweets)])
            else:
                length = min(MAX_TOKENS if kind == "mixed" else int(kind), num_tokens)
                rows.append([0, *rng.integers(5, 14000, max(0, length - 2)).tolist(), 2][:length])
        return TokenRows.of(sorted(rows, key=len))

    def device_ms(self, call: Callable[[], object], repeats: int = 20) -> float:
        """Median milliseconds of a call on the device, calls back to back, so that launches hide where they can."""
        for _ in range(1 if self.is_dry else 3):
            call()
        if self.is_dry:
            return self.host_ms(call, 1)
        torch.cuda.synchronize()
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]  # type: ignore[no-untyped-call]
        for mark in marks[:-1]:
            mark.record()
            call()
        marks[-1].record()
        torch.cuda.synchronize()
        pairs = pairwise(marks)
        return float(statistics.median(start.elapsed_time(end) for start, end in pairs))

    def host_ms(self, call: Callable[[], object], repeats: int = 10) -> float:
        """Median milliseconds until a call has given the device its orders: what the launching thread pays."""
        took_ms = []
        for _ in range(1 if self.is_dry else repeats):
            self.synchronize()
            started_at = time.perf_counter()
            call()
            took_ms.append(1000 * (time.perf_counter() - started_at))
        self.synchronize()
        return statistics.median(took_ms)

    def synchronize(self) -> None:
        """Wait until the device has done all that was launched."""
        if not self.is_dry:
            torch.cuda.synchronize()
