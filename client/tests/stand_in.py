"""A stand-in for the service: same wire format, predictions made from the text, faults on demand.

python client/tests/stand_in.py --port 8200 --fault-rate 0.3
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

LABELS = ("NEGATIVE", "NEUTRAL", "POSITIVE")
ANALYSES = {
    "sentiment": LABELS,
    "emotion": ("ANGER", "JOY", "OPTIMISM", "SADNESS"),
    "offensive": ("NON-OFFENSIVE", "OFFENSIVE"),
    "topic": ("FILM", "FOOD", "SPORTS", "TRAVEL"),
}
FAST: dict[str, Any] = {"backoff_s": 0.01, "max_backoff_s": 0.05, "timeout_s": 2.0, "patience_s": 20.0}
"""Options of a client that make retries quick; what happens is the same."""
RANDOM_FAULTS = ("429", "500", "503", "hang", "truncated", "malformed", "reset", "miscounted")


def prediction(text: str) -> dict[str, Any]:
    """What the stand-in always answers for a text."""
    digest = zlib.crc32(text.encode())
    confidence = 0.34 + digest % 6600 / 10_000
    sentiment = LABELS[digest % 3]
    others = (1 - confidence) / 2
    scores = {label: confidence if label == sentiment else others for label in LABELS}
    num_tokens = len(text.split()) + 2
    return {
        "text": text, "sentiment": sentiment, "confidence": confidence, "token_count": min(num_tokens, 512),
        "truncated": num_tokens > 512, "scores": scores,
    }  # fmt: skip


def analysis(name: str, labels: tuple[str, ...], text: str, with_scores: bool, is_multi_label: bool) -> dict[str, Any]:
    """What the stand-in always answers for a text in one of its analyses."""
    digest = zlib.crc32(f"{name} {text}".encode())
    weights = [1 + (digest >> (4 * place)) % 16 for place in range(len(labels))]
    scores = {
        label: weight / (17 if is_multi_label else sum(weights)) for label, weight in zip(labels, weights, strict=True)
    }
    best = max(scores, key=lambda label: scores[label])
    num_tokens = len(text.split()) + 2
    found: dict[str, Any] = {
        "label": best, "confidence": scores[best], "token_count": min(num_tokens, 512),
        "truncated": num_tokens > 512, "tokens_dropped": max(num_tokens - 512, 0),
    }  # fmt: skip
    if is_multi_label:
        ranked = sorted(scores, key=lambda label: -scores[label])
        found["labels"] = [label for label in ranked if scores[label] >= 0.5]
    return found | ({"scores": scores} if with_scores else {})


@dataclass
class Behaviour:
    """What the stand-in does besides answering; tests change it while it runs."""

    fault_rate: float = 0.0
    faults: tuple[str, ...] = RANDOM_FAULTS
    next_faults: list[str] = field(default_factory=list)
    """Faults for the next requests, before any random ones."""
    hang_s: float = 3.0
    delay_s: float = 0.0
    workers: int = 1000
    """So many requests are delayed at once; others wait for their turn, as they do for a device."""
    capacity: int | None = None
    """429 beyond so many requests at once."""
    retry_after: str | None = None
    refused_texts: frozenset[str] = frozenset()
    """Texts that a 400 names by their place."""
    refused_silently: frozenset[str] = frozenset()
    """Texts that cause a 400 which does not say where."""
    poisonous_texts: frozenset[str] = frozenset()
    """Texts that cause a 500 each time."""
    cold_until: float = 0.0
    """Until then (`time.monotonic`), the platform has no instance of the service up."""
    next_stats: list[str] = field(default_factory=list)
    """Statuses of the next answers of /batch-stats."""
    knows_reports: bool = True
    """Whether it knows the field `on_invalid_text`, or refuses it as older services do."""
    api_key: str | None = None
    analyses: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(ANALYSES))
    """The labels of its analyses; several of those of `topic` may hold."""
    model: str = "stand-in"
    revision: str | None = None
    precision: str = "float32"
    text_preparation: str | None = None
    random: random.Random = field(default_factory=lambda: random.Random(7))


class StandIn:
    """The service. `seen` counts each text answered, `requests` every request by what became of it.

    `answered_by` holds the model that answered each text last.
    """

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.seen: Counter[str] = Counter()
        self.answered_by: dict[str, str] = {}
        self.requests: Counter[str] = Counter()
        self.most_in_flight = 0
        self.last_body: dict[str, Any] = {}
        self._in_flight = 0
        self._workers = asyncio.Semaphore(self.behaviour.workers)

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/process-batch", self._process_batch)
        app.router.add_post("/analyze-single", self._analyze_single)
        app.router.add_get("/batch-stats", self._batch_stats)
        return app

    async def _process_batch(self, request: web.Request) -> web.StreamResponse:
        return await self._guarded(request, self._answer_batch)

    async def _analyze_single(self, request: web.Request) -> web.StreamResponse:
        return await self._guarded(request, self._answer_single)

    async def _batch_stats(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refuse_access(request) or self._cold():
            return refusal
        if self.behaviour.next_stats:
            status = self.behaviour.next_stats.pop(0)
            return self._busy() if status == "429" else web.json_response({"detail": "not ready"}, status=int(status))
        return web.json_response(
            {
                "total_requests": self.requests["answered"],
                "total_texts_processed": self.seen.total(),
                "average_batch_time": 0.01,
                "peak_batch_size": 100,
                "forward_passes": self.requests["answered"],
                "cache_hits": 0,
                "device": "cpu",
                "model_loaded": True,
                "current_gpu_memory": None,
                "max_gpu_memory": None,
                "model": self.behaviour.model,
                "revision": self.behaviour.revision,
                "precision": self.behaviour.precision,
                "text_preparation": self.behaviour.text_preparation,
                "analyses": {
                    name: {"model": f"{self.behaviour.model}-{name}", "revision": None, "labels": list(labels)}
                    for name, labels in self.behaviour.analyses.items()
                },
            }
        )

    async def _guarded(self, request: web.Request, answer: Any) -> web.StreamResponse:
        try:
            body = json.loads(await request.read())
        except ConnectionError:  # the client was killed
            return web.Response()
        if refusal := self._refuse_access(request) or self._cold():
            return refusal
        self.last_body = body
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            if self.behaviour.capacity is not None and self._in_flight > self.behaviour.capacity:
                self.requests["429"] += 1
                return self._busy()
            async with self._workers:
                await asyncio.sleep(self.behaviour.delay_s)
            if refusal := self._refusal(body):
                self.requests["refused"] += 1
                return refusal
            response = answer(body)
            fault = self._next_fault()
            self.requests[fault or "answered"] += 1
            return await self._with_fault(request, response, fault) if fault else response
        finally:
            self._in_flight -= 1

    def _next_fault(self) -> str | None:
        if self.behaviour.next_faults:
            return self.behaviour.next_faults.pop(0)
        is_faulty = self.behaviour.random.random() < self.behaviour.fault_rate
        return self.behaviour.random.choice(self.behaviour.faults) if is_faulty else None

    async def _with_fault(self, request: web.Request, response: web.Response, fault: str) -> web.StreamResponse:
        assert isinstance(response.body, bytes)
        body = response.body
        match fault:
            case "429":
                return self._busy()
            case _ if fault.isdigit():
                return web.json_response({"detail": "the model failed"}, status=int(fault))
            case "hang":
                await asyncio.sleep(self.behaviour.hang_s)
            case "truncated":
                partial = web.StreamResponse(headers={"Content-Length": str(len(body))})
                await partial.prepare(request)
                await partial.write(body[: len(body) // 2])
                _abort(request)
                return partial
            case "malformed":
                return web.Response(body=body[: len(body) // 2], content_type="application/json")
            case "miscounted":
                answer = json.loads(body)
                answer["results"] = answer.get("results", [])[1:]
                return web.json_response(answer)
            case "reset":
                _abort(request)
        return response

    def _refuse_access(self, request: web.Request) -> web.Response | None:
        key = self.behaviour.api_key
        if key is None or request.headers.get("Authorization") == f"Bearer {key}":
            return None
        return web.json_response({"detail": "invalid token"}, status=401)

    def _busy(self) -> web.Response:
        headers = {"Retry-After": self.behaviour.retry_after} if self.behaviour.retry_after else {}
        return web.json_response({"detail": "the queue is full"}, status=429, headers=headers)

    def _cold(self) -> web.Response | None:
        if time.monotonic() >= self.behaviour.cold_until:
            return None
        return web.json_response({"detail": "No instances available (yet) for chute_id=12"}, status=503)

    def _refusal(self, body: dict[str, Any]) -> web.Response | None:
        texts = body.get("texts", [])
        if self.behaviour.poisonous_texts.intersection(texts):
            return web.json_response({"detail": "the model failed on this request"}, status=500)
        if self.behaviour.refused_silently.intersection(texts):
            return web.json_response({"detail": "something in here is bad"}, status=400)
        unknown = [name for name in body.get("analyses", ()) if name not in self.behaviour.analyses]
        if unknown:
            known = ", ".join(self.behaviour.analyses)
            detail = [
                {"loc": ["analyses", 0], "msg": f"{unknown[0]!r} is not one of {known}", "type": "unknown_analysis"}
            ]
            return web.json_response({"detail": detail}, status=400)
        places = [index for index, text in enumerate(texts) if text in self.behaviour.refused_texts]
        if "on_invalid_text" in body and not self.behaviour.knows_reports:
            detail = [{"loc": ["on_invalid_text"], "msg": "on_invalid_text is not known", "type": "extra_forbidden"}]
            return web.json_response({"detail": detail}, status=400)
        if not places or body.get("on_invalid_text") == "report":
            return None
        detail = [{"loc": ["texts", index], "msg": f"texts[{index}] is refused", "type": "refused"} for index in places]
        return web.json_response({"detail": detail}, status=400)

    def _answer_batch(self, body: dict[str, Any]) -> web.Response:
        self.seen.update(body["texts"])
        self.answered_by.update(dict.fromkeys(body["texts"], self.behaviour.model))
        results = [self._result(text, order, body) for order, text in enumerate(body["texts"])]
        if not body.get("return_all_scores"):
            for result in results:
                result.pop("scores", None)
        return web.json_response({"results": results, "total_texts": len(results), "processing_time": 0.01})

    def _result(self, text: str, order: int, body: dict[str, Any]) -> dict[str, Any]:
        if text in self.behaviour.refused_texts:
            return {"processing_order": order, "error": {"code": "refused", "message": f"texts[{order}] is refused"}}
        return self._prediction(text, body) | {"processing_order": order}

    def _prediction(self, text: str, body: dict[str, Any]) -> dict[str, Any]:
        if "analyses" not in body:
            return prediction(text)
        found = {
            name: analysis(
                name, self.behaviour.analyses[name], text, bool(body.get("return_all_scores")), name == "topic"
            )
            for name in body["analyses"]
        }
        counts = {name: next(iter(found.values()))[name] for name in ("token_count", "truncated", "tokens_dropped")}
        sentiment = {"sentiment": found["sentiment"]["label"]} if "sentiment" in found else {}
        return {"text": text, "analyses": found} | counts | sentiment

    def _answer_single(self, body: dict[str, Any]) -> web.Response:
        self.seen[body["text"]] += 1
        answer = self._prediction(body["text"], body) | {"processing_order": 0, "processing_time": 0.01}
        return web.json_response(answer)


Service: TypeAlias = tuple[str, StandIn]
"""Address of a stand-in, and the stand-in, whose behaviour a test may change."""


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


@contextmanager
def serving(behaviour: Behaviour | None = None, port: int = 0) -> Iterator[tuple[str, StandIn]]:
    """A stand-in on a port of loopback (0: any free one), on a thread of its own: its address and itself."""
    stand_in = StandIn(behaviour)
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(stand_in.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)

    async def start() -> str:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        host, bound = runner.addresses[0]
        return f"http://{host}:{bound}"

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(), stand_in
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8200)
    parser.add_argument("--fault-rate", type=float, default=0.0)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--workers", type=int, default=1000, help="requests that are delayed at once")
    arguments = parser.parse_args()
    behaviour = Behaviour(fault_rate=arguments.fault_rate, delay_s=arguments.delay, workers=arguments.workers)
    web.run_app(StandIn(behaviour).app(), host="127.0.0.1", port=arguments.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
