"""Stand-ins for other servers: each answers in its own wire format with the predictions of `stand_in.prediction`.

Written after text-embeddings-inference's router (`types.rs`), vLLM's `entrypoints/pooling/classify/protocol.py`,
Infinity's `/classify` and Hugging Face's endpoints. They refuse what the real ones refuse and the client must avoid.
"""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from stand_in import prediction

MAX_TEI_TEXTS = 32
UNTOKENIZABLE = "a text that the stand-in for TEI cannot tokenize"
Answer = Callable[[dict[str, Any]], web.Response]


def scores(text: str) -> list[dict[str, Any]]:
    """Labels of a text, best first, in lower case as most checkpoints have them."""
    by_label = prediction(text)["scores"].items()
    return [{"label": label.lower(), "score": score} for label, score in sorted(by_label, key=lambda each: -each[1])]


def tei(body: dict[str, Any]) -> web.Response:
    """`POST /predict`."""
    inputs = body["inputs"]
    if not isinstance(inputs, list) or not all(isinstance(each, list) and len(each) == 1 for each in inputs):
        return web.json_response(
            {"error": "a flat list is a pair of sentences", "error_type": "Validation"}, status=422
        )
    if len(inputs) > MAX_TEI_TEXTS:
        message = f"batch size {len(inputs)} > maximum allowed batch size {MAX_TEI_TEXTS}"
        return web.json_response({"error": message, "error_type": "Validation"}, status=413)
    if [UNTOKENIZABLE] in inputs:
        return web.json_response({"error": "tokenization error", "error_type": "Tokenizer"}, status=422)
    return web.json_response([scores(text) for (text,) in inputs])


def vllm(body: dict[str, Any]) -> web.Response:
    """`POST /classify` of vLLM, for a model of at most 512 tokens."""
    if body.get("truncate_prompt_tokens", -1) > 512:
        message = "truncate_prompt_tokens value is greater than max_model_len (512)"
        return web.json_response({"error": {"message": message, "type": "BadRequestError", "code": 400}}, status=400)
    data = []
    for index, text in enumerate(body["input"]):
        answer = prediction(text)
        probabilities = list(answer["scores"].values())
        data.append({"index": index, "label": answer["sentiment"], "probs": probabilities, "num_classes": 3})
    return web.json_response({"id": "classify-1", "object": "list", "created": 1, "model": "m", "data": data})


def infinity(body: dict[str, Any]) -> web.Response:
    """`POST /classify` of Infinity."""
    assert body["raw_scores"] is False
    data = [scores(text) for text in body["input"]]
    return web.json_response({"object": "classify", "data": data, "model": "m", "id": "infinity-1", "created": 1})


def hugging_face(body: dict[str, Any]) -> web.Response:
    """An endpoint that runs transformers' pipeline: without `top_k` one label a text, and no inner lists."""
    if "parameters" in body:
        return web.json_response([scores(text) for text in body["inputs"]])
    return web.json_response([scores(text)[0] for text in body["inputs"]])


SERVERS: dict[str, tuple[str, Answer]] = {
    "tei": ("/predict", tei),
    "vllm": ("/classify", vllm),
    "infinity": ("/classify", infinity),
    "hf": ("/", hugging_face),
}


async def _document(document: Any, _: web.Request) -> web.Response:
    return web.json_response(document)


@contextmanager
def serving_as(protocol: str, documents: dict[str, Any] | None = None) -> Iterator[str]:
    """One of `SERVERS` on a free port of loopback, with JSON to be got at further paths: its address."""
    path, answer = SERVERS[protocol]

    async def handle(request: web.Request) -> web.Response:
        return answer(json.loads(await request.read()))

    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post(path, handle)
    for further, document in (documents or {}).items():
        app.router.add_get(further, functools.partial(_document, document))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    loop = asyncio.new_event_loop()

    async def start() -> str:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
