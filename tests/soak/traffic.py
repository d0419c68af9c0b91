"""Clients of every kind, who know what each answer must be."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

TOLERANCE = 1e-4
INJECTED = "the model failed on this request; the log says why"
"""What a request gets whose forward passes were made to fail: the only error of the service itself there may be."""


@dataclass
class Tally:
    """What happened, by kind; and every answer that was wrong."""

    outcomes: Counter[str] = field(default_factory=Counter)
    num_results: int = 0
    largest_difference: float = 0.0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, outcome: str) -> None:
        """Note how a request ended."""
        with self.lock:
            self.outcomes[outcome] += 1


class SoakClient:
    """One client. Its requests, and whom it leaves waiting, depend on its number only.

    Args:
        url: the service.
        expected: the scores of every text, as the engine gives them alone.
        tally: shared by all clients.
    """

    def __init__(self, url: str, number: int, expected: dict[str, dict[str, float]], tally: Tally) -> None:
        self._url = url
        self._rng = random.Random(number)
        self._expected = expected
        self._texts = list(expected)
        self._tally = tally
        self._client = httpx.Client(base_url=url, timeout=120)

    def run(self, is_over: threading.Event) -> None:
        """Send one request after the other until it is over."""
        kinds: list[tuple[Callable[[], None], int]] = [
            (self._batch, 6), (self._stream, 3), (self._single, 6), (self._mistake, 2), (self._statistics, 1),
            (self._leave_stream, 1), (self._leave_half_a_body, 1), (self._reconnect, 1),
        ]  # fmt: skip
        while not is_over.is_set():
            (act,) = self._rng.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])
            try:
                act()
            except httpx.HTTPError as error:
                self._tally.count(f"{type(error).__name__}")
        self._client.close()

    def _some_texts(self) -> list[str]:
        return self._rng.choices(self._texts, k=self._rng.choice([1, 3, 10, 40]))

    def _batch(self) -> None:
        texts = self._some_texts()
        response = self._client.post("/process-batch", json={"texts": texts, "return_all_scores": True})
        if self._is_answered("batch", response):
            self._compare(texts, response.json()["results"])

    def _single(self) -> None:
        text = self._rng.choice(self._texts)
        response = self._client.post("/analyze-single", json={"text": text, "return_all_scores": True})
        if self._is_answered("single", response):
            self._compare([text], [response.json()])

    def _stream(self) -> None:
        texts = self._some_texts()
        request = {"texts": texts, "batch_size": self._rng.choice([1, 7, 16]), "return_all_scores": True}
        response = self._client.post("/process-batch-stream", json=request)
        if not self._is_answered("stream", response):
            return
        last = json.loads(response.content.split(b"\n")[-2])
        if last["status"] == "completed":
            self._compare(texts, last["final_results"])
        elif last["error"]["message"] == INJECTED:
            self._tally.count("stream: injected fault")
        else:
            self._wrong(f"a stream ended with {last['error']}")

    def _mistake(self) -> None:
        body = self._rng.choice([b"{", b"[]", b'{"texts": []}', b'{"texts": ["a", " "]}', b'{"texts": "a"}'])
        status = self._client.post("/process-batch", content=body).status_code
        self._tally.count("mistake: 400" if status == 400 else f"mistake: {status}")
        if status != 400:
            self._wrong(f"a mistake got {status}")

    def _statistics(self) -> None:
        self._tally.count(f"statistics: {self._client.get('/batch-stats').status_code}")

    def _leave_stream(self) -> None:
        request = {"texts": self._rng.choices(self._texts, k=60), "batch_size": 1}
        with self._client.stream("POST", "/process-batch-stream", json=request) as response:
            next(response.iter_raw())
        self._tally.count("left a stream")

    def _leave_half_a_body(self) -> None:
        parts = urlsplit(self._url)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as connection:
            connection.sendall(b'POST /process-batch HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{"texts": ["')
        self._tally.count("left half a body")

    def _reconnect(self) -> None:
        self._client.close()
        self._client = httpx.Client(base_url=self._url, timeout=120)

    def _is_answered(self, kind: str, response: httpx.Response) -> bool:
        status = response.status_code
        if status == 500 and response.json()["detail"] == INJECTED:
            self._tally.count(f"{kind}: injected fault")
            return False
        self._tally.count(f"{kind}: {status}")
        if status not in (200, 429):
            self._wrong(f"{kind}: {status} {response.text[:200]}")
        return status == 200

    def _compare(self, texts: list[str], results: list[dict[str, Any]]) -> None:
        if len(texts) != len(results):
            self._wrong(f"{len(results)} results for {len(texts)} texts")
        for text, result in zip(texts, results, strict=False):
            expected = self._expected[text]
            difference = max(abs(result["scores"][label] - score) for label, score in expected.items())
            with self._tally.lock:
                self._tally.num_results += 1
                self._tally.largest_difference = max(self._tally.largest_difference, difference)
            # A stream leaves the texts out of a line that would be too long.
            if difference > TOLERANCE or result["text"] not in (text, None):
                self._wrong(f"{text[:60]!r} got {result}")

    def _wrong(self, what: str) -> None:
        with self._tally.lock:
            self._tally.wrong.append(what)
