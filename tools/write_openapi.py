"""Write the service's OpenAPI document to a file: `make openapi`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from batch_classification.endpoints import document
from image import VERSION


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    path = parser.parse_args().path
    path.write_text(json.dumps(document(VERSION), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
