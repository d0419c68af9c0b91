"""Write the OpenAPI document of each chute into a folder: `make openapi`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import batch_classification.endpoints
import batch_embedding.endpoints
import batch_generation.endpoints
from image import VERSION

DOCUMENTS: dict[str, Callable[..., dict[str, Any]]] = {
    "openapi.json": batch_classification.endpoints.document,
    "openapi-embedder.json": batch_embedding.endpoints.document,
    "openapi-generator.json": batch_generation.endpoints.document,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, document in DOCUMENTS.items():
        content = json.dumps(document(VERSION), indent=2, ensure_ascii=False)
        (folder / name).write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
