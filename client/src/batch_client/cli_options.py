"""The options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from batch_client.options import ON_LONG_TEXT
from batch_client.protocols import PROTOCOLS

UrlOption = Annotated[str, typer.Option("--url", help="Address of the service, such as http://127.0.0.1:8000.")]
ApiKeyOption = Annotated[
    str | None,
    typer.Option("--api-key", envvar="CHUTES_API_KEY", show_envvar=True, help="Sent as bearer token, never shown."),
]
ProtocolOption = Annotated[str, typer.Option("--protocol", help=f"What the service speaks: {', '.join(PROTOCOLS)}.")]
MaxLengthOption = Annotated[int, typer.Option(help="Tokens of a text that the model may see.")]
OnLongTextOption = Annotated[str, typer.Option(help=f"Texts beyond --max-length: {', '.join(ON_LONG_TEXT)}.")]
AllScoresOption = Annotated[bool, typer.Option("--all-scores", help="Add a column per label.")]
ConcurrencyOption = Annotated[int, typer.Option(help="Requests in flight at most.")]
TimeoutOption = Annotated[float, typer.Option(help="Seconds for one attempt at a request.")]
PatienceOption = Annotated[float, typer.Option(help="Give up after so many seconds without any answer.")]
AcceptModelChangeOption = Annotated[
    bool, typer.Option("--accept-model-change", help="Go on though another model answers now than before.")
]
RetryErrorsOption = Annotated[bool, typer.Option("--retry-errors", help="INPUT is a result: ask its failed rows.")]
ColdStartOption = Annotated[float, typer.Option(help="Wait so many seconds at most for a first instance.")]
