"""What the start of a model measured on its device, and what it chose by that."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel, Field


class DeviceReport(BaseModel):
    """What the model runs on, measured at start-up."""

    name: str
    torch_version: str
    threads: int = Field(description="That a forward pass on a CPU may use")
    driver: str | None = Field(default=None, description="Of the GPU; null on a CPU, or if it cannot be known")
    memory: float | None = Field(default=None, description="GiB of the GPU")
    compute_capability: str | None = None
    is_confidential: bool | None = Field(
        default=None, description="Whether the GPU is in confidential computing; null on a CPU, or if nobody says"
    )
    copy_microseconds: dict[str, float] = Field(default={}, description="Of a copy to the GPU and back, by its size")
    launch_microseconds: dict[str, float] = Field(
        default={}, description="Until the launch of a pass of 256 tokens is done: call by call (eager), and as a graph"
    )
    tokens_per_second: dict[str, float] = Field(default={}, description="By the tokens of a pass")
    choices: list[str] = Field(default=[], description="What was chosen at start-up, and by which figures")

    def lines(self) -> list[str]:
        """The same for a log."""
        driver = f", driver {self.driver}" if self.driver else ""
        confidential = {True: ", confidential computing on", False: ", confidential computing off", None: ""}
        lines = [f"{self.name}{driver}, torch {self.torch_version}{confidential[self.is_confidential]}"]
        if self.memory is not None:
            lines.append(f"{self.memory:.0f} GiB, compute capability {self.compute_capability}")
        for what, figures, unit in (
            ("a copy takes", self.copy_microseconds, "us"),
            ("a launch takes", self.launch_microseconds, "us"),
            ("tokens/s by the tokens of a pass", self.tokens_per_second, ""),
        ):
            if figures:
                shown = ", ".join(f"{name}: {figure:,.0f} {unit}".rstrip() for name, figure in figures.items())
                lines.append(f"{what}: {shown}")
        return lines + self.choices


@dataclass(slots=True)
class StartNotes:
    """Filled while a model starts, and read once it serves.

    Attributes:
        choices: a sentence for each choice, with the figures that decided it, in their order.
        tokens_per_second: by the tokens of a pass, as far as it was measured.
        device: all of it, and what the device is; None until the model is ready to serve.
    """

    choices: list[str] = field(default_factory=list)
    tokens_per_second: dict[int, float] = field(default_factory=dict)
    device: DeviceReport | None = None
