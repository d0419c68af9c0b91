"""Raw bytes for a server of HTTP/1.1: well-formed messages, damaged in their lines, headers, chunks and bodies."""

from __future__ import annotations

import random
import re
import socket
import time

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
BATCH = b'{"texts": ["I love this!", "The parcel came on Monday."], "batch_size": 1}'
SINGLE = b'{"text": "What a waste of money."}'
HEADER_LINES = [
    b"Content-Length: 0", b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: +7", b"Content-Length: 0x10",
    b"Content-Length: 99999999999999999999", b"Content-Length: 7, 7", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity", b"Content-Encoding: gzip",
    b"Content-Type: application/x-www-form-urlencoded", b"Content-Type: multipart/form-data", b"Expect: 100-continue",
    b"Connection: close", b"Connection: keep-alive, x", b"TE: trailers",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
    b"Connection: Upgrade\r\nUpgrade: websocket", b"Host: other", b"Host:", b"X-Empty:", b"X-Long: " + b"x" * 70_000,
    b"X-Folded: a\r\n b", b"X-Bad\x00: 1", b": nameless", b"no colon", b"X-Latin: \xe9\xff",
    b"Cookie: " + b"a=b; " * 900,
    b"Accept-Encoding: gzip", b"Range: bytes=0-1", b"If-None-Match: *", b"Origin: https://example.org",
]  # fmt: skip
METHODS = [b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE", b"CONNECT", b"get", b"PRI", b"G T", b""]
TARGETS = [
    b"/process-batch", b"/process-batch-stream", b"/analyze-single", b"/batch-stats", b"/nowhere", b"/process-batch/",
    b"//process-batch", b"/../batch-stats", b"/%62atch-stats", b"/batch-stats?stream=true", b"/batch-stats#x", b"*",
    b"http://other/batch-stats", b"/" + b"a" * 9000, b"/\xff", b"/a b", b"", b"/_metrics", b"/%zz",
    b"/process-batch;x=1",
]  # fmt: skip
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1", b"HTTP/9.9", b""]
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LAST = b"GET /batch-stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""Sent behind each damaged message: a server that is still in step answers it and closes."""


def damaged_bytes(rng: random.Random) -> bytes:
    """One to three messages on one connection, each perhaps damaged."""
    if rng.random() < 0.03:
        return HTTP2_PREFACE + rng.randbytes(rng.randrange(200))
    return b"".join(_message(rng) for _ in range(rng.choice([1, 1, 2, 3])))


def exchange(address: tuple[str, int], sent: bytes, rng: random.Random, patience_s: float = 0.4) -> list[int]:
    """Send bytes, at once or in pieces, and read what comes until the server closes or is silent for a while.

    Returns:
        The statuses, in order. None at all is an answer too: the message may be one that is not over yet.
    """
    received = b""
    with socket.create_connection(address, timeout=10) as connection:
        try:
            for piece in _pieces(sent, rng):
                connection.sendall(piece)
            connection.settimeout(patience_s)
            while chunk := connection.recv(2**16):
                received += chunk
        except (TimeoutError, ConnectionError):
            pass
    return [int(status) for status in STATUS.findall(received) if status != b"100"]


def _message(rng: random.Random) -> bytes:
    method, target, body = rng.choice(
        [(b"GET", b"/batch-stats", b""), (b"POST", b"/process-batch", BATCH), (b"POST", b"/analyze-single", SINGLE),
         (b"POST", b"/process-batch-stream", BATCH)]
    )  # fmt: skip
    version, headers = b"HTTP/1.1", [b"Host: x"]
    if body and rng.random() < 0.5:
        headers.append(b"Transfer-Encoding: chunked")
        framed = _chunked(body, rng)
    else:
        headers.append(b"Content-Length: %d" % len(body))
        framed = body
    match rng.randrange(8):
        case 0:
            method = rng.choice(METHODS)
        case 1:
            target = rng.choice(TARGETS)
        case 2:
            version = rng.choice(VERSIONS)
        case 3 | 4:
            headers.insert(rng.randrange(len(headers) + 1), rng.choice(HEADER_LINES))
        case 5:
            headers += [b"X-%d: %d" % (number, number) for number in range(rng.choice([10, 300]))]
        case 6:
            framed = _with_damage(framed, rng)
    end = rng.choice([b"\r\n", b"\r\n", b"\r\n", b"\n"])
    message = end.join([b" ".join([method, target, version]), *headers, b"", framed])
    return _with_damage(message, rng) if rng.random() < 0.3 else message


def _chunked(body: bytes, rng: random.Random) -> bytes:
    pieces = []
    while body:
        size = rng.randint(1, len(body))
        said = rng.choice([b"%x", b"%X", b"00%x", b"%x;ext=1"]) % size
        if rng.random() < 0.03:
            said = rng.choice([b"-1", b"zz", b"fffffffffffffffff", b"", b"%x" % (size + 3)])
        pieces.append(said + b"\r\n" + body[:size] + b"\r\n")
        body = body[size:]
    return b"".join(pieces) + rng.choice([b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX-Trailer: 1\r\n\r\n", b"0\r\n", b""])


def _with_damage(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not changed:
            break
        start = rng.randrange(len(changed))
        end = min(len(changed), start + rng.choice([1, 1, 2, 8, 64]))
        match rng.randrange(5):
            case 0:
                changed[start] ^= 1 << rng.randrange(8)
            case 1:
                del changed[start:end]
            case 2:
                changed[start:start] = changed[start:end]
            case 3:
                changed[start:start] = rng.randbytes(rng.randrange(1, 9))
            case 4:
                del changed[rng.randrange(len(changed)) :]
    return bytes(changed)


def _pieces(sent: bytes, rng: random.Random) -> list[bytes]:
    if rng.random() < 0.8:
        return [sent]
    cuts = sorted(rng.randrange(len(sent) + 1) for _ in range(rng.randint(1, 4)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    time.sleep(0.001)
    return pieces
