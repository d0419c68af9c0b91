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
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from batch_inference.checkpoint_files import why_no_classifier, why_unusable
from batch_inference.errors import ModelLoadError, SettingsError
from batch_inference.settings import load_settings
from rehearsal.chutes import CHUTES, NotAChuteError, settings_of
from rehearsal.dev_server import ROOT, service_command

START_TIMEOUT_S = 300
BUNDLED = "bundled"
"""What `MODEL=` is left alone: a model that needs no network, or another chute's default."""


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


@dataclass(frozen=True)
class Service:
    """A chute that is to be served: its file, its model, and a hint of what to try."""

    file: Path
    model: str
    hint: str

    @classmethod
    def of(cls, name: str, model: str, url: str) -> Service:
        """A chute of the repository by its name, or any other by its file; sets its model in the environment.

        Raises:
            SettingsError, NotAChuteError, ModelLoadError: with the sentence to show.
        """
        if name in CHUTES:
            return cls._of_repository(name, model, url)
        file = Path(name).resolve()
        settings = settings_of(file)
        if model != BUNDLED:
            # It is served from its own folder.
            os.environ[settings.variable("model")] = str(Path(model).resolve()) if Path(model).is_dir() else model
        return cls(file, load_settings(type(settings)).model, "Open it in a browser.\n")

    @classmethod
    def _of_repository(cls, name: str, model: str, url: str) -> Service:
        chute = CHUTES[name]
        os.environ[chute.settings.variable("model")] = chute.bundled_model() if model == BUNDLED else model
        if model == BUNDLED:
            for field, value in chute.bundled_settings.items():
                os.environ.setdefault(chute.settings.variable(field), value)
        settings = load_settings(chute.settings)
        # What files tell need not wait for the SDK and torch, which take seconds.
        source = settings.model_source
        problem = why_unusable(source, settings.pinned_revision, is_loaded=True)
        if problem or (problem := why_no_classifier(source) if chute.is_classifier else None):
            raise ModelLoadError(f"{settings.named_model} {problem}")
        curl = f"  curl {url}{chute.path} -H 'Content-Type: application/json' \\\n    -d '{chute.body}'\n"
        return cls(ROOT / f"{name}.py", settings.model, f"{chute.hint}\n\n{curl}")

    def start(self, port: int) -> subprocess.Popen[bytes]:
        """Start it in a session of its own: Ctrl-C reaches this process only, which then stops the server, in order."""
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
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        command = service_command(port, f"{self.file.stem}:chute")
        return subprocess.Popen(command, cwd=self.file.parent, env=environment, start_new_session=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chute", default="batch_processor", help=f"{', '.join(CHUTES)}, or a chute's file")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", default=BUNDLED, help="hub id, folder, or 'bundled': one that needs no network")
    args = parser.parse_args()
    url = f"http://127.0.0.1:{args.port}"
    try:
        service = Service.of(args.chute, args.model, url)
        check_port(args.port, "the service")
        check_port(args.port + 1, "the SDK's log server, which takes the port after the service's")
    except (SettingsError, NotAChuteError, ModelLoadError, PortTakenError) as error:
        print(error, file=sys.stderr)
        return 1

    server = service.start(args.port)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        if wait_until_ready(server, args.port):
            print(f"\nReady at {url} with the model {service.model!r}. Stop with Ctrl-C. {service.hint}", flush=True)
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
