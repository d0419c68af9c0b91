"""mosec: one worker, dynamic batching of requests; a request is a JSON list of texts."""

from __future__ import annotations

import os

from classifier import MAX_REQUESTS, PORT, WAIT_MS, Classifier, Labels
from mosec import Server, Worker

REQUEST_TIMEOUT_S = 600


class Sentiment(Worker):
    """mosec decodes and encodes JSON by itself."""

    def __init__(self) -> None:
        self.classifier = Classifier()

    def forward(self, data: list[list[str]]) -> list[Labels]:
        return self.classifier.classify_requests(data)


if __name__ == "__main__":
    os.environ |= {
        "MOSEC_ADDRESS": "127.0.0.1",
        "MOSEC_PORT": str(PORT),
        "MOSEC_TIMEOUT": str(REQUEST_TIMEOUT_S * 1000),
        "MOSEC_LOG_LEVEL": "warning",
    }
    server = Server()
    server.append_worker(Sentiment, max_batch_size=MAX_REQUESTS, max_wait_time=WAIT_MS, timeout=REQUEST_TIMEOUT_S)
    server.run()
