"""Whom the client can talk to, by the name that `--protocol` takes. Each module holds one server's wire format."""

from __future__ import annotations

from batch_client.protocols.base import ServiceProtocol
from batch_client.protocols.hugging_face import HuggingFace
from batch_client.protocols.infinity import Infinity
from batch_client.protocols.native import Native
from batch_client.protocols.tei import TextEmbeddingsInference
from batch_client.protocols.vllm import Vllm

PROTOCOLS: dict[str, ServiceProtocol] = {
    protocol.name: protocol for protocol in (Native(), TextEmbeddingsInference(), Vllm(), Infinity(), HuggingFace())
}
