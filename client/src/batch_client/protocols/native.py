"""batch-processor's own: `POST /process-batch`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from batch_client import wire
from batch_client.outcomes import Outcome

if TYPE_CHECKING:
    from batch_client.options import Options


class Native:
    """The protocol of this project's service."""

    name: ClassVar[str] = "batch-processor"
    path: ClassVar[str] = "/process-batch"
    max_texts: ClassVar[int] = 100
    is_own: ClassVar[bool] = True

    def check(self, options: Options) -> None:
        """Every option is for this protocol."""

    def request(self, texts: Sequence[str], options: Options) -> bytes:
        """Body of `POST /process-batch`."""
        return wire.batch_request(texts, options)

    def parse(self, body: bytes, texts: Sequence[str], options: Options) -> list[Outcome]:
        """Its answer."""
        return wire.parse_batch_answer(body, texts, options.all_scores)
