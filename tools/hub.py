"""What the hub says of a model before anything is uploaded: whether an instance needs a token to load it."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from batch_inference.settings import ModelSettings

TIMEOUT_S = 10.0


def needs_token(settings: ModelSettings, endpoint: str | None = None) -> bool:
    """Whether the hub shows the model to nobody without a token; False if it cannot be reached.

    Args:
        settings: which model; one of this machine needs none.
        endpoint: of the hub; the usual one if left out.
    """
    if Path(settings.model_source).is_dir():
        return False
    try:
        info = HfApi(endpoint=endpoint, token=False).model_info(settings.model_source, timeout=TIMEOUT_S)
    except RepositoryNotFoundError:
        return True
    # Whatever the network does.
    except Exception:
        return False
    return bool(info.gated)
