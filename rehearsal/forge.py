"""How the platform builds an image: its states, its log, and how it fails. Nothing is built here."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from platform_rules.refusals import SHELL_REDIRECT

BUILT = "built and pushed"

FURTHER_STAGES = [
    "installing chutes==0.6.9 on top of the image...",
    "collecting the filesystem for verification...",
    "scanning the image with trivy...",
    "signing image...",
]
"""What the platform does after the Dockerfile. Findings of the scan do not stop it."""


@dataclass
class UploadedImage:
    """What `chutes build` sent, as the server keeps it.

    Attributes:
        chutes_version: of the SDK that the platform puts into it.
    """

    image_id: str
    dockerfile: str
    build_context: bytes
    name: str = "batch-processor"
    tag: str = "0.1.0"
    uploaded_at: float = 0.0
    chutes_version: str = "0.6.9"

    @property
    def steps(self) -> list[str]:
        """The build's log, if all goes well."""
        lines = self.dockerfile.splitlines()
        return [f"#{number} [{number}/{len(lines)}] {line}" for number, line in enumerate(lines, 1)] + FURTHER_STAGES


Fault = Callable[[UploadedImage], str | None]


def no_fault(_: UploadedImage) -> None:
    return None


@dataclass
class Forge:
    """The platform's builder.

    Attributes:
        pending_s: how long an image waits for it.
        building_s: how long it takes then.
        fault: why an image cannot be built, the last line of its log.
    """

    pending_s: float = 0.0
    building_s: float = 0.0
    fault: Fault = no_fault
    clock: Callable[[], float] = time.monotonic

    def status(self, image: UploadedImage) -> str:
        """`pending build`, `building`, `built and pushed`, or `error: ` and the reason."""
        age = self.clock() - image.uploaded_at
        if age < self.pending_s:
            return "pending build"
        if age < self.pending_s + self.building_s:
            return "building"
        fault = self._fault(image)
        return f"error: {fault}" if fault else BUILT

    def is_done(self, image: UploadedImage) -> bool:
        return self.status(image).startswith((BUILT, "error:"))

    def log(self, image: UploadedImage) -> list[str]:
        """The lines that there are by now."""
        fault = self._fault(image)
        lines = [*image.steps[:9], f"ERROR: {fault}", "image build FAILED"] if fault else [*image.steps, "image signed"]
        if self.is_done(image):
            return lines
        begun = self.clock() - image.uploaded_at - self.pending_s
        return lines[: int(len(lines) * begun / self.building_s)] if begun > 0 else []

    def _fault(self, image: UploadedImage) -> str | None:
        for base in re.findall(r"^FROM\s+(\S+)", image.dockerfile, re.MULTILINE):
            if not base.lower().startswith("parachutes/"):
                return f"Dockerfile FROM targets must use parachutes/* base images, got: {base}"
        if redirect := SHELL_REDIRECT.search(image.dockerfile):
            # The platform would build it, into a file of that name: nobody wants that.
            return f"a shell redirect: {redirect[0]}"
        return self.fault(image)
