"""Ray Serve: one replica, `serve.batch` over requests; a request is a list of texts."""

from __future__ import annotations

import asyncio

import ray
from classifier import MAX_REQUESTS, PORT, TORCH_THREADS, WAIT_MS, Classifier, Labels
from ray import serve
from starlette.requests import Request


# Above what the bench ever has in flight: requests must not wait outside the batcher.
@serve.deployment(max_ongoing_requests=256, ray_actor_options={"num_cpus": TORCH_THREADS})
class Sentiment:
    """The model runs in a thread, so that the next batch gathers while one is computed."""

    def __init__(self) -> None:
        self.classifier = Classifier()

    @serve.batch(max_batch_size=MAX_REQUESTS, batch_wait_timeout_s=WAIT_MS / 1000)
    async def classify(self, requests: list[list[str]]) -> list[Labels]:
        return await asyncio.to_thread(self.classifier.classify_requests, requests)

    async def __call__(self, request: Request) -> Labels:
        return await self.classify(await request.json())


if __name__ == "__main__":
    ray.init(num_cpus=TORCH_THREADS, include_dashboard=False, object_store_memory=100 * 1024**2, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(Sentiment.bind(), blocking=True)
