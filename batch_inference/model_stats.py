"""What one of an engine's models has done. The engine's own figures are sums over its models."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import prometheus_client as prometheus

from batch_inference.passes_in_flight import PassRecord

PREFIX = "batch_processor_"
_LABEL = ["analysis"]
"""Empty, which to Prometheus is no label, for a chute with one model that is no analysis."""

_TEXTS = prometheus.Counter(PREFIX + "texts", "Texts that got a prediction", _LABEL)
_TRUNCATED = prometheus.Counter(PREFIX + "truncated_texts", "Texts the model did not see whole", _LABEL)
_PASS_TIME = prometheus.Histogram(PREFIX + "pass_seconds", "Duration of a forward pass", _LABEL)
_PASS_ROWS = prometheus.Histogram(
    PREFIX + "pass_texts", "Texts in a forward pass", _LABEL, buckets=[2**n for n in range(11)]
)
_PASS_TOKENS = prometheus.Histogram(
    PREFIX + "pass_tokens", "Padded tokens in a forward pass", _LABEL, buckets=[2**n for n in range(4, 18)]
)
_CACHE_HITS = prometheus.Counter(PREFIX + "cache_hits", "Rows that cost nothing: equal ones were run before", _LABEL)
_CACHE_MISSES = prometheus.Counter(PREFIX + "cache_misses", "Rows that had to be run", _LABEL)
_PADDING = prometheus.Counter(PREFIX + "padding_tokens", "Padding tokens run through the model", _LABEL)


@dataclass(frozen=True)
class ModelSnapshot:
    """A model's counters at one moment; of several models, their sums."""

    texts: int = 0
    truncated_texts: int = 0
    forward_passes: int = 0
    pass_s: float = 0.0
    rows: int = 0
    tokens: int = 0
    padding_tokens: int = 0
    cache_hits: int = 0
    cache_misses: int = 0

    def __add__(self, other: ModelSnapshot) -> ModelSnapshot:
        return ModelSnapshot(
            *(mine + others for mine, others in zip(vars(self).values(), vars(other).values(), strict=True))
        )

    @property
    def mean_texts_per_pass(self) -> float:
        """Rows of a pass, on average; 0 before the first."""
        return self.rows / max(1, self.forward_passes)

    @property
    def padding_ratio(self) -> float:
        """Padding tokens over all tokens that were computed."""
        return self.padding_tokens / max(1, self.tokens)

    @property
    def cache_hit_rate(self) -> float:
        """Rows that cost nothing over all that were asked for; 0 before the first."""
        return self.cache_hits / max(1, self.cache_hits + self.cache_misses)


class ModelStats:
    """Thread-safe counters of one model.

    Args:
        name: of the model.
    """

    def __init__(self, name: str) -> None:
        self._lock = threading.Lock()
        self._num_texts = 0
        self._num_truncated = 0
        self._num_passes = 0
        self._total_pass_s = 0.0
        self._num_rows = 0
        self._num_tokens = 0
        self._num_padding_tokens = 0
        self._num_cache_hits = 0
        self._num_cache_misses = 0
        # Looking one up costs more than counting.
        self._texts, self._truncated = _TEXTS.labels(name), _TRUNCATED.labels(name)
        self._pass_time, self._pass_rows = _PASS_TIME.labels(name), _PASS_ROWS.labels(name)
        self._pass_tokens, self._padding = _PASS_TOKENS.labels(name), _PADDING.labels(name)
        self._hits, self._misses = _CACHE_HITS.labels(name), _CACHE_MISSES.labels(name)

    def count_texts(self, num_texts: int, num_truncated: int) -> None:
        """Count the texts of an answered request."""
        with self._lock:
            self._num_texts += num_texts
            self._num_truncated += num_truncated
        self._texts.inc(num_texts)
        if num_truncated:
            self._truncated.inc(num_truncated)

    def count_pass(self, record: PassRecord) -> None:
        """Count a forward pass that went well."""
        with self._lock:
            self._num_passes += 1
            self._total_pass_s += record.duration_s
            self._num_rows += record.num_rows
            self._num_tokens += record.num_tokens
            self._num_padding_tokens += record.num_padding_tokens
        self._pass_time.observe(record.duration_s)
        self._pass_rows.observe(record.num_rows)
        self._pass_tokens.observe(record.num_tokens)
        if record.num_padding_tokens:
            self._padding.inc(record.num_padding_tokens)

    def count_cache(self, num_hits: int, num_misses: int) -> None:
        """Count rows that were asked for: those that cost nothing, and those that had to be run."""
        with self._lock:
            self._num_cache_hits += num_hits
            self._num_cache_misses += num_misses
        if num_hits:
            self._hits.inc(num_hits)
        if num_misses:
            self._misses.inc(num_misses)

    def snapshot(self) -> ModelSnapshot:
        """All counters at one moment."""
        with self._lock:
            return ModelSnapshot(
                texts=self._num_texts,
                truncated_texts=self._num_truncated,
                forward_passes=self._num_passes,
                pass_s=self._total_pass_s,
                rows=self._num_rows,
                tokens=self._num_tokens,
                padding_tokens=self._num_padding_tokens,
                cache_hits=self._num_cache_hits,
                cache_misses=self._num_cache_misses,
            )
