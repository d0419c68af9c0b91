"""Serve a chute on this machine through the real SDK: no account, no GPU, no network. `make run` calls this."""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil  # type: ignore[import-untyped]

from batch_inference.errors import SettingsError
from batch_inference.settings import load_settings
from rehearsal.chutes import CHUTES
from rehearsal.dev_server import ROOT, service_command

START_TIMEOUT_S = 300


class PortTakenError(Exception):
    """Another process listens where the service or its log server should."""


def check_port(port: int, purpose: str) -> None:
    """Make sure that nobody listens on a port yet.

    Raises:
        PortTakenError: somebody does, or the port is not one that this user may listen on.
    """
    with socket.socket() as probe:
        # As servers set it: a port that was in use a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "there is no such port"
            raise PortTakenError(
                f"Port {port} is not free for {purpose} ({reason}): "
                "stop what uses it, or choose another with `make run PORT=...`."
            ) from None


def wait_until_ready(server: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the service answered before the server ended or `START_TIMEOUT_S` passed.

    Raises:
        PortTakenError: another process answers there; it took the port while the model was being loaded.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < deadline:
        if _answers(port):
            if not _listens(server, port):
                raise PortTakenError(f"Port {port} was taken by another process meanwhile; stop it and try again.")
            return True
        time.sleep(0.2)
    return False


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/batch-stats", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException):
        return False


def _listens(server: subprocess.Popen[bytes], port: int) -> bool:
    connections = psutil.Process(server.pid).net_connections("tcp")
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chute", choices=CHUTES, default="batch_processor")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", default="bundled", help="hub id, folder, or 'bundled': one that needs no network")
    args = parser.parse_args()
    chute = CHUTES[args.chute]
    try:
        model = chute.bundled_model() if args.model == "bundled" else args.model
        os.environ[chute.settings.variable("model")] = model
        if args.model == "bundled":
            for field, value in chute.bundled_settings.items():
                os.environ.setdefault(chute.settings.variable(field), value)
        load_settings(chute.settings)
        check_port(args.port, "the service")
        check_port(args.port + 1, "the SDK's log server, which takes the port after the service's")
    except (SettingsError, PortTakenError) as error:
        print(error, file=sys.stderr)
        return 1

    environment = {
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        # The SDK's own steps are of no use here.
        "LOGURU_LEVEL": "WARNING",
        # Of a model that is refused it would say in thirty lines what ours says in one.
        "TRANSFORMERS_VERBOSITY": "error",
        **os.environ,
        "CHUTES_EXECUTION_CONTEXT": "REMOTE",
    }
    # A session of its own: Ctrl-C reaches this process only, which then stops the server once, in order.
    server = subprocess.Popen(
        service_command(args.port, f"{args.chute}:chute"), cwd=ROOT, env=environment, start_new_session=True
    )
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        if wait_until_ready(server, args.port):
            print(
                f"\nReady at http://127.0.0.1:{args.port} with the model {model!r}. Stop with Ctrl-C. {chute.hint}\n\n"
                f"  curl http://127.0.0.1:{args.port}{chute.path} -H 'Content-Type: application/json' \\\n"
                f"    -d '{chute.body}'\n",
                flush=True,
            )
        else:
            server.terminate()
        return server.wait()
    except PortTakenError as error:
        server.kill()
        server.wait()
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        server.terminate()
        return server.wait()


if __name__ == "__main__":
    sys.exit(main())
