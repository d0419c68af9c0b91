"""The kinds of servers that the client can talk to. Each module holds one server's wire format."""

from __future__ import annotations

from batch_client.errors import InputError
from batch_client.options import Options
from batch_client.protocols.base import ServiceProtocol
from batch_client.protocols.hugging_face import HuggingFace
from batch_client.protocols.infinity import Infinity
from batch_client.protocols.native import Native
from batch_client.protocols.tei import TextEmbeddingsInference
from batch_client.protocols.vllm import Vllm

PROTOCOLS: dict[str, type[ServiceProtocol]] = {
    protocol.name: protocol for protocol in (Native, TextEmbeddingsInference, Vllm, Infinity, HuggingFace)
}
"""By the name that `--protocol` takes."""


def protocol_for(options: Options) -> type[ServiceProtocol]:
    """The protocol that the options name. Raises InputError if it is unknown or cannot carry one of them."""
    if options.protocol not in PROTOCOLS:
        raise InputError(f"the protocol {options.protocol!r} is not known; use one of {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[options.protocol]
    protocol.check(options)
    return protocol
