"""What callers send reaches neither the log nor anybody else's answer, however the request ends."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import psutil

from rehearsal.dev_server import Server

FOLDER = Path(__file__).resolve().parent
MARK = "xyzzy4711plugh"
SECRET = "cpk_secret_0815"
INSIDE = ("Traceback", 'File "', "site-packages", "Error:", str(FOLDER.parent.parent))
"""What an answer shows if it tells of the service's inside."""

ENDPOINTS = ["/process-batch", "/process-batch-stream"]
FAULTS = ["zebra", "walrus", "gnu", "heron"]


def marked_bodies() -> list[bytes]:
    """Bodies that hold the mark: good ones, ones that break a rule, ones that are no JSON, ones that bring a fault."""
    documents = [
        {"texts": [MARK, f"I love {MARK}!"], "return_all_scores": True},
        {"texts": [MARK, ""]},
        {"texts": [MARK], "batch_size": MARK},
        {"texts": [MARK * 1000]},
        {"texts": [f"{MARK}\0"]},
        {"texts": [f"{MARK}\ud800"]},
        {"texts": MARK},
        {MARK: MARK},
        *({"texts": [f"{MARK} one", fault, f"{MARK} two"]} for fault in FAULTS),
    ]
    damaged = [f'{{"texts": ["{MARK}"', MARK, f'{{"texts": ["{MARK}"]}}{MARK}']
    return [
        *(json.dumps(document).encode() for document in documents),
        *(body.encode() for body in damaged),
        f'{{"texts": ["{MARK}'.encode() + b'\xff"]}',
    ]


def test_no_text_and_no_secret_in_the_log_and_nothing_of_the_inside_in_answers(faulty: Server) -> None:
    statuses = set()
    headers = {"Authorization": f"Bearer {SECRET}", "Cookie": f"session={SECRET}", "X-Note": MARK}
    with httpx.Client(base_url=faulty.url, timeout=60, headers=headers) as client:
        responses = [client.post(path, content=body) for path in ENDPOINTS for body in marked_bodies()]
        texts = [f"{MARK} fine", f"{MARK}\0", *FAULTS]
        responses += [client.post("/analyze-single", json={"text": text}) for text in texts]
        responses.append(client.post(f"/{MARK}", json={"texts": [MARK]}))
        responses.append(client.get(f"/batch-stats?key={MARK}"))
        responses.append(client.get(f"/process-batch?text={MARK}"))
        for response in responses:
            statuses.add(response.status_code)
            if response.status_code != 200:
                assert not [word for word in INSIDE if word in response.text], response.text[:500]
            assert SECRET not in response.text
        # The log is its standard output, and all that it writes.
        written = {Path(file.path) for file in psutil.Process(faulty.process.pid).open_files() if file.mode != "r"}
        assert written <= {faulty.log}
        # Nobody reads another's text in what all may see.
        for path in ("/batch-stats", "/_metrics"):
            assert MARK not in client.get(path).text
    assert statuses == {200, 400, 404, 405, 500}
    log = faulty.log.read_text(encoding="utf-8", errors="replace")
    assert MARK not in log
    assert SECRET not in log


def test_a_hang_up_is_not_logged_with_its_text(faulty: Server) -> None:
    texts = [f"{MARK} {number} " + "word " * 400 for number in range(60)]
    with (
        httpx.Client(base_url=faulty.url, timeout=60) as client,
        client.stream("POST", "/process-batch-stream", json={"texts": texts, "batch_size": 1}) as response,
    ):
        assert next(response.iter_raw())
    with httpx.Client(base_url=faulty.url, timeout=60) as client:
        assert client.post("/process-batch", json={"texts": ["next"]}).status_code == 200
    assert MARK not in faulty.log.read_text(encoding="utf-8", errors="replace")
