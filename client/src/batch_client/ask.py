"""Getting the answers that a run lacks, made safe about once a second, each time by the service that gave them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import islice

from batch_client.async_client import AsyncClient
from batch_client.checks import check_balance
from batch_client.errors import InputError
from batch_client.formats.source import Reader
from batch_client.journal import Journal
from batch_client.options import Options
from batch_client.progress import Tick, progress_on
from batch_client.screen import Screen
from batch_client.served import ServedBy
from batch_client.survey import Survey, sha256_of

PATIENCE_AT_THE_START_S = 15.0
"""A wrong address should show at once, not after the patience that a service in the middle of a run deserves."""


def ask(options: Options, reader: Reader, survey: Survey, journal: Journal, served: ServedBy, screen: Screen) -> int:
    """Get the outcomes that the journal lacks; returns how many attempts were repeated.

    Raises:
        InputError: the input was changed meanwhile.
        OutputError: another service answers than before. The answers that it may have given are forgotten.
        ServiceError: the service is not to be reached or refuses access.
    """
    num_retries = 0
    if journal.num_rows < survey.num_rows:
        try:
            num_retries = asyncio.run(_ask(options, reader, survey, journal, served, screen))
        except BaseException:
            if not served.is_known:  # else only what was confirmed is kept
                journal.checkpoint()
            raise
    journal.checkpoint()
    if sha256_of(reader.path) != survey.sha256:
        raise InputError(f"{reader.name} was changed while it was scored; pass --start-over to score it anew")
    check_balance(survey.num_rows, journal.num_rows, "answers")
    return num_retries


async def _ask(
    options: Options, reader: Reader, survey: Survey, journal: Journal, served: ServedBy, screen: Screen
) -> int:
    async with AsyncClient(options, on_waiting=screen.say) as client:
        if survey.num_sendable:
            await client.check(PATIENCE_AT_THE_START_S)
            await served.confirm(client)
        values = islice(survey.path.values(reader), journal.num_rows, None)
        with progress_on(screen, survey.num_rows, journal.num_rows) as show:
            async with aclosing(client.classify_batches(values)) as batches:
                async for outcomes in batches:
                    journal.append(outcomes, client.concurrency)
                    show(Tick(journal.num_rows, journal.num_failed, client.concurrency))
                    if journal.is_checkpoint_due:
                        # Taken before the service is asked: a change after that concerns later answers only.
                        mark = journal.mark()
                        if survey.num_sendable:
                            await served.confirm(client)
                        journal.checkpoint(mark)
        if survey.num_sendable:
            await served.confirm(client)
        return client.num_retries
