"""What a batch-processor service says about itself at `/batch-stats`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ServiceStats(BaseModel):
    """The service's own counters since it started. Times in seconds, memory in GiB (None without a GPU).

    Fields that a newer service adds are kept and reachable by name.
    """

    model_config = ConfigDict(extra="allow")

    total_requests: int
    total_texts_processed: int
    average_batch_time: float
    peak_batch_size: int
    device: str
    model_loaded: bool
    current_gpu_memory: float | None
    max_gpu_memory: float | None
    model: str | None = None
