"""Serve the chute on this machine through the real SDK: no account, no GPU, no network. `make run` calls this."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from batch_inference.errors import SettingsError  # noqa: E402
from batch_inference.settings import load_settings  # noqa: E402

START_TIMEOUT_S = 300


def server_command(port: int) -> list[str]:
    """The SDK's own server for `batch_processor.py`, in dev mode; its log server takes the next port."""
    chutes = str(Path(sys.executable).with_name("chutes"))
    return [
        chutes, "run", "batch_processor:chute", "--dev",
        "--host", "127.0.0.1", "--port", str(port), "--logging-port", str(port + 1),
    ]  # fmt: skip


def wait_until_ready(server: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the service answered before the server ended or `START_TIMEOUT_S` passed."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/batch-stats", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", default="bundled", help="hub id, folder, or 'bundled'")
    args = parser.parse_args()
    os.environ["BATCH_PROCESSOR_MODEL"] = args.model
    try:
        load_settings()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1

    environment = {
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        **os.environ,
        "CHUTES_EXECUTION_CONTEXT": "REMOTE",
    }
    # A session of its own: Ctrl-C reaches this process only, which then stops the server once, in order.
    server = subprocess.Popen(server_command(args.port), cwd=ROOT, env=environment, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        if wait_until_ready(server, args.port):
            print(
                f"\nReady at http://127.0.0.1:{args.port} with the model {args.model!r}. Stop with Ctrl-C. Try:\n\n"
                f"  curl http://127.0.0.1:{args.port}/process-batch -H 'Content-Type: application/json' \\\n"
                """    -d '{"texts": ["I love this!", "What a waste of money.", "The parcel came on Monday."]}'\n""",
                flush=True,
            )
        else:
            server.terminate()
        return server.wait()
    except KeyboardInterrupt:
        server.terminate()
        return server.wait()


if __name__ == "__main__":
    sys.exit(main())
