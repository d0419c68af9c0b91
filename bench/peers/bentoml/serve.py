"""BentoML: one worker, adaptive batching; it merges the lists of texts of several requests by itself."""

from __future__ import annotations

import bentoml
from classifier import MAX_REQUESTS, Classifier, Labels

MAX_TEXTS = 100 * MAX_REQUESTS
"""BentoML counts texts, not requests, and refuses a request with more texts than a batch may hold."""
REQUEST_TIMEOUT_S = 600


@bentoml.service(workers=1, traffic={"timeout": REQUEST_TIMEOUT_S, "max_concurrency": 1024})
class Sentiment:
    """The adaptive batcher learns how long to wait; its bound on latency must not make it refuse requests here."""

    def __init__(self) -> None:
        self.classifier = Classifier()

    @bentoml.api(batchable=True, max_batch_size=MAX_TEXTS, max_latency_ms=REQUEST_TIMEOUT_S * 1000)
    def classify(self, texts: list[str]) -> Labels:
        return self.classifier.classify(texts)
