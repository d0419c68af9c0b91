"""End to end, a body is decompressed and parsed in the instance only: it has to look out for itself."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from rehearsal.answers import Refused
from rehearsal.end_to_end import HEADERS
from rehearsal.gateway import Gateway, through_gateway
from rehearsal.running import Instance
from tests.helpers import bomb


@pytest.mark.parametrize(
    "compress",
    [lambda: bomb(512), lambda: gzip.compress(b'{"texts": [' + b"[]," * 1_000_000 + b"[]]}")],
    ids=["512 MiB in half a megabyte", "a million lists"],
)
def test_a_small_body_of_large_content(instance: Instance, compress: Callable[[], bytes]) -> None:
    compressed = compress()

    def memory_peak() -> int:
        status = Path(f"/proc/{instance.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    before = memory_peak()

    async def scenario(gateway: Gateway) -> None:
        blob = instance.session.end_to_end.encrypt(compressed)
        with pytest.raises(Refused) as refusal:
            async with gateway.relay("/process-batch", blob, HEADERS):
                pass
        assert refusal.value.answer.status == 400
        # Its words are encrypted for the user.

    through_gateway(instance, scenario)
    # Decompressed, or parsed, each is several times that.
    assert memory_peak() < before + 100 * 2**20
