"""One instance in production mode, in a process of its own: `python -m rehearsal.instance module:chute ...`.

Does what `chutes run` does without `--dev`, in the same order: serve `/_alive` and the log from a thread, load the
chute from the current folder, run its start-up hooks, map its public paths, add the SDK's own middleware, serve it with
Hypercorn configured alike. Left out is what needs the closed-source parts or a validator to talk to: attestation
and TLS. Replaced are:

- aegis' encryption (`SessionCipher` instead),
- aegis' end-to-end encryption (`EndToEndHandle`),
- aegis' lock of the network once the chute has started (`lock_network`),
- graval's holder of the two hotkeys. The SDK's check of the request's signature runs as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import threading
from concurrent.futures import wait
from pathlib import Path
from typing import Any

# Read when the SDK is imported: "we are the instance", not "we call one".
os.environ["CHUTES_EXECUTION_CONTEXT"] = "REMOTE"
os.environ.pop("CHUTES_DEV_MODE", None)

from chutes.chute import Chute, cord
from chutes.chute.cord import init_user_code_executor
from chutes.entrypoint import _shared, run
from chutes.entrypoint.logger import launch_server
from hypercorn.asyncio import serve
from hypercorn.config import Config
from substrateinterface import Keypair, KeypairType

from rehearsal.session import Session, SessionCipher

LOOPBACK = {"127.0.0.1", "::1", "localhost", b"localhost"}


class EndToEndHandle:
    """aegis' end-to-end functions, as far as `GraValMiddleware` calls them. One shared key stands in for ML-KEM."""

    def __init__(self, cipher: SessionCipher) -> None:
        self._cipher = cipher

    def e2e_new_ctx(self) -> object:
        return object()

    def e2e_free_ctx(self, context: object) -> None:
        pass

    def e2e_set_client_pk(self, context: object, public_key: bytes) -> None:
        pass

    def e2e_decrypt_request(self, context: object, blob: bytes) -> bytes | None:
        return self._cipher.decrypt(blob)

    def e2e_encrypt_response(self, context: object, plaintext: bytes) -> bytes:
        return self._cipher.encrypt(plaintext)

    def e2e_stream_begin(self, context: object) -> bytes:
        return b"encapsulated key"

    def e2e_stream_chunk(self, context: object, chunk: bytes) -> bytes:
        return self._cipher.encrypt(chunk)

    def e2e_stream_end(self, context: object) -> None:
        pass


def replace_closed_source(session: Session) -> None:
    """Put the stand-ins where the SDK looks its closed-source parts up."""
    transport, end_to_end = session.transport, EndToEndHandle(session.end_to_end)
    run.aegis_encrypt = transport.encrypt
    run.aegis_decrypt = transport.decrypt
    run.get_aegis_handle = lambda: end_to_end
    hotkeys = _shared.TeeMiner()
    hotkeys._miner_ss58 = session.miner_ss58
    hotkeys._validator_ss58 = session.validator.ss58_address
    hotkeys._keypair = Keypair(ss58_address=session.validator.ss58_address, crypto_type=KeypairType.SR25519)
    _shared.miner = lambda: hotkeys


def lock_network() -> None:
    """From here on, connecting or looking up a name fails, but for loopback: what aegis does once start-up is over.

    It does so unless a chute has `allow_external_egress`. Whatever is fetched lazily, on the first request, shows up.
    """

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        host = None
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            host = arguments[1][0]
        elif event == "socket.getaddrinfo":
            host = arguments[0]
        if host is not None and host not in LOOPBACK:
            message = f"the network is locked: {event} {host!r}"
            print(message, flush=True)
            raise PermissionError(message)

    sys.addaudithook(refuse)


def start_log_server(port: int) -> None:
    """The SDK's own, on a thread with an event loop of its own. It answers `/_alive`, which the platform asks for."""
    threading.Thread(target=lambda: asyncio.run(launch_server("127.0.0.1", port)), daemon=True).start()


def start_all_threads() -> None:
    """Fill the SDK's thread pool, which grows with use, so that tests can compare numbers of threads."""
    executor = cord._user_code_executor
    assert executor
    together = threading.Barrier(executor._max_workers)
    wait([executor.submit(together.wait) for _ in range(executor._max_workers)])


def deployed_cords(chute: Chute) -> list[dict[str, Any]]:
    """What the platform knows of the chute's cords, from `chutes deploy`."""
    return [
        {
            "path": each.path,
            "public_api_path": each.public_api_path,
            "public_api_method": each._public_api_method,
            "stream": each._stream,
        }
        for each in chute.cords
    ]


def add_middleware(chute: Chute) -> None:
    """The SDK's own middleware and the map of public paths that it uses for end-to-end-encrypted requests."""
    for each in chute.cords:
        method = (each._public_api_method or "POST").upper()
        run._public_api_path_map[(each._public_api_path, method, bool(each._stream))] = each.path
        run._e2e_allowed_paths.add(each.path)
    chute.add_middleware(run.GraValMiddleware, concurrency=chute.concurrency)

    async def connection_stats() -> dict[str, Any]:
        stats: dict[str, Any] = run._conn_stats.get_stats()
        return stats

    chute.add_api_route("/_conn_stats", connection_stats, methods=["GET"])
    chute.add_api_route("/_metrics", run.get_metrics, methods=["GET"])
    chute.add_api_route("/_ping", run.pong, methods=["POST"])


def server_config(chute: Chute, port: int) -> Config:
    """Hypercorn's settings in `chutes run`, without the certificates."""
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.alpn_protocols = ["h2", "http/1.1"]
    config.h2_max_concurrent_streams = max(256, chute.concurrency * 8)
    config.keep_alive_timeout = 75
    config.graceful_timeout = 30
    return config


async def run_instance(reference: str, port: int, logging_port: int, cords_file: Path, session: Session) -> None:
    """Serve until killed; what the platform knows of the chute is written just before the port opens."""
    start_log_server(logging_port)
    replace_closed_source(session)
    _, chute = _shared.load_chute(reference, config_path=None, debug=False)
    await chute.initialize()
    if not chute.allow_external_egress:
        lock_network()
    add_middleware(chute)
    init_user_code_executor(chute.concurrency)
    start_all_threads()
    known = {"concurrency": chute.concurrency, "cords": deployed_cords(chute)}
    cords_file.write_text(json.dumps(known), encoding="utf-8")
    await serve(chute, server_config(chute, port), shutdown_trigger=asyncio.Event().wait)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--logging-port", type=int, required=True)
    parser.add_argument("--cords-file", type=Path, required=True)
    args = parser.parse_args()
    session = Session.from_json(os.environ["REHEARSAL_SESSION"])
    asyncio.run(run_instance(args.reference, args.port, args.logging_port, args.cords_file, session))


if __name__ == "__main__":
    main()
