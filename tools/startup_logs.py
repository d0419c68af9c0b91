"""Show why an instance did not start: the start-up logs that the platform keeps for a chute's owner.

The platform keeps what a private chute's instance prints from its creation until it serves, at most half an hour of it,
for four hours, encrypted for the owner's hotkey. The SDK's own `chutes startup-logs` is for this, but crashes before
its first request (0.6.9 and 0.6.11rc2); a test says when it no longer does, and this tool can go.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import sys
import time
from typing import Any

import rbcl

from tools.platform_api import PlatformApi, PlatformError, chute_name


def private_scalar(hotkey_seed: str) -> bytes:
    """The Sr25519 private key of a seed in hexadecimal, as the SDK's `decrypt_log_chunks` wants it.

    The seed is expanded as Ed25519 does it and divided by the cofactor 8: what every library for Substrate's keys
    does, but the SDK's newest no longer gives its result away.
    """
    expanded = bytearray(hashlib.sha512(bytes.fromhex(hotkey_seed.removeprefix("0x"))).digest()[:32])
    expanded[0] &= 0b1111_1000
    expanded[31] = (expanded[31] & 0b0011_1111) | 0b0100_0000
    return (int.from_bytes(expanded, "little") >> 3).to_bytes(32, "little")


def sessions_of(api: PlatformApi, chute_id: str) -> list[dict[str, Any]]:
    """What is kept, newest first: `instance_id`, `started_at` in seconds since 1970, `chunk_count`, and a key."""
    answer = api.get(f"/encrypted_logs/{chute_id}/sessions", "chutes")
    sessions = answer.json() if answer else []
    return sorted(sessions, key=lambda session: session.get("started_at", 0.0), reverse=True)


def log_of(api: PlatformApi, chute_id: str, session: dict[str, Any]) -> str:
    """A session's log, decrypted. Empty if the platform has dropped it meanwhile."""
    from chutes.entrypoint._decrypt_logs import decrypt_log_chunks

    answer = api.get(f"/encrypted_logs/{chute_id}/sessions/{session['instance_id']}/chunks", "chutes")
    scalar = private_scalar(api.hotkey_seed)
    text: str = decrypt_log_chunks(
        chunks_b64=answer.json()["chunks"] if answer else [],
        private_key_scalar=scalar,
        user_pubkey=rbcl.crypto_scalarmult_ristretto255_base(scalar),
        ephemeral_pubkey=base64.b64decode(session["ephemeral_pubkey"]),
    )
    return text


def show(api: PlatformApi, name: str, instance: str | None) -> None:
    """Print the list and the log of one instance: the newest, or the one whose id begins with `instance`.

    Raises:
        PlatformError: there is nothing to show.
    """
    chute = api.chute(name)
    if chute is None:
        raise PlatformError(f"There is no chute named {name} in your account: deploy it first (make deploy).")
    sessions = sessions_of(api, chute["chute_id"])
    if not sessions:
        raise PlatformError(
            f"The platform keeps no start-up log of {name}: no instance has begun to start in the last four hours."
        )
    print(f"Start-ups of {name} that the platform still has a log of, newest first:")
    for session in sessions:
        began = time.strftime("%d %b %H:%M", time.localtime(session["started_at"]))
        print(f"  {began}  instance {session['instance_id']}")
    chosen = [session for session in sessions if session["instance_id"].startswith(instance or "")]
    if not chosen:
        raise PlatformError(f"INSTANCE={instance} begins none of these ids.")
    print(f"\nInstance {chosen[0]['instance_id']} printed:\n")
    print(log_of(api, chute["chute_id"], chosen[0]))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chute", default="batch_processor", help="its file, without .py (default: %(default)s)")
    parser.add_argument("--instance", help="the first characters of an instance's id (default: the newest)")
    args = parser.parse_args(arguments)
    try:
        with PlatformApi() as api:
            show(api, chute_name(args.chute), args.instance)
    except PlatformError as error:
        sys.stdout.flush()
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
