"""LitServe: one worker, dynamic batching of requests; a request is a list of texts."""

from __future__ import annotations

import litserve
from classifier import MAX_REQUESTS, PORT, WAIT_MS, Classifier


class Sentiment(litserve.LitAPI):
    """LitServe calls these in the order decode, batch, predict, unbatch, encode."""

    def setup(self, device: str) -> None:
        self.classifier = Classifier()

    def decode_request(self, request: dict[str, list[str]]) -> list[str]:
        return request["texts"]

    def batch(self, inputs: list[list[str]]) -> list[list[str]]:
        return inputs

    def predict(self, inputs: list[list[str]]) -> list[list[str]]:
        return self.classifier.classify_requests(inputs)

    def unbatch(self, output: list[list[str]]) -> list[list[str]]:
        return output

    # LitServe makes a response model of this annotation, so it must name built-in types only.
    def encode_response(self, output: list[str]) -> dict[str, list[str]]:
        return {"labels": output}


if __name__ == "__main__":
    api = Sentiment(max_batch_size=MAX_REQUESTS, batch_timeout=WAIT_MS / 1000)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=False)
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning", access_log=False)
