"""What the start of a model measured on its device, and what it chose by that."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class StartNotes:
    """Filled while a model starts, and read once it serves.

    Attributes:
        choices: a sentence for each choice, with the figures that decided it, in their order.
        tokens_per_second: by the tokens of a pass, as far as it was measured.
    """

    choices: list[str] = field(default_factory=list)
    tokens_per_second: dict[int, float] = field(default_factory=dict)
