"""Scoring several files as one run: a result for each, by the same service, all checked before the first request."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from batch_client.durable import locked
from batch_client.errors import BatchClientError, InputError, OutputError
from batch_client.finished_files import FinishedFile, FinishedFiles
from batch_client.inputs import Inputs
from batch_client.job import Job
from batch_client.journal import check_is_ours, check_same_job, remove
from batch_client.score import Summary, check, score
from batch_client.screen import Screen, listed
from batch_client.service_identity import ServiceIdentity
from batch_client.survey import Survey


@dataclass(frozen=True)
class Part:
    """What came of one file of a run. `summary` is None if an earlier run has scored it."""

    job: Job
    file: FinishedFile
    summary: Summary | None = None


def check_several(job: Job, inputs: Inputs) -> list[tuple[Job, Survey]]:
    """Read all inputs and say what `score_several` would do. Nothing is sent or written. Raises as it does."""
    folder = _folder_of(job)
    check_is_ours(folder)
    return _surveyed(_jobs_of(job, inputs, FinishedFiles(folder)))


def score_several(job: Job, inputs: Inputs, screen: Screen) -> Iterator[Part]:
    """Score all files, one after another, each given as soon as it is finished. Killed, the same run resumes.

    Args:
        job: how all are scored; its `out` is the folder of the results, which is created.
        inputs: which files there are, and where their results go.
        screen: where progress goes.

    Raises:
        InputError, OutputError: a file cannot be scored as asked, which is known for all before the first request.
        ServiceError: the service is not to be reached or refuses access.
    """
    folder = _folder_of(job)
    check_is_ours(folder)
    with locked(folder), _tidied(folder) as finished:
        yield from _scored(_surveyed(_jobs_of(job, inputs, finished)), finished, folder, screen)


def _scored(
    surveyed: Sequence[tuple[Job, Survey]], finished: FinishedFiles, folder: Path, screen: Screen
) -> Iterator[Part]:
    done = {} if surveyed[0][0].start_over else {job.out: finished.get(job.out) for job, _ in surveyed}
    for job, survey in surveyed:
        if file := done.get(job.out):
            check_same_job(folder, file.job, job.identity(survey))
    met: list[ServiceIdentity] = []
    for job, survey in surveyed:
        file = done.get(job.out)
        summary = None
        if file is None:
            Path(job.out).parent.mkdir(parents=True, exist_ok=True)
            finished.begin(job.out)
            summary = score(replace(job, expected=() if job.accept_model_change else tuple(met)), screen)
            file = FinishedFile(
                job.identity(survey), summary.num_rows, summary.num_failed, summary.failures, summary.services
            )
            finished.finish(job.out, file)
        met = [*file.services] or met
        yield Part(job, file, summary)


def _jobs_of(job: Job, inputs: Inputs, finished: FinishedFiles) -> list[Job]:
    """The job of each file. A result that the run has begun is its own, even if it was killed before it said more."""
    return [
        replace(
            job,
            source=pair.source,
            out=pair.out,
            makes_folders=True,
            overwrite=job.overwrite or finished.is_begun(pair.out),
        )
        for pair in inputs.pairs
    ]


def _surveyed(jobs: Sequence[Job]) -> list[tuple[Job, Survey]]:
    """All inputs read once. Raises InputError for the first that cannot be scored, and names the others."""
    surveyed, errors, others = [], [], []
    for job in jobs:
        try:
            surveyed.append((job, check(job)))
        except BatchClientError as error:
            errors.append(error)
            others.append(job.source)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise InputError(f"{errors[0]}. Nor can these be scored: {listed(others[1:])}")
    return surveyed


def _folder_of(job: Job) -> Path:
    """Where the run works: beside the folder of its results. Raises OutputError if several cannot be scored so."""
    if job.report is not None:
        raise OutputError("--report is for one input; run batch-client report on a result, or leave it out")
    out = Path(os.path.abspath(job.out))
    if not out.name:
        raise OutputError(f"{job.out} is no folder for results; choose another --out")
    return out.with_name(out.name + ".partial")


@contextmanager
def _tidied(folder: Path) -> Iterator[FinishedFiles]:
    """The note in the folder, which is removed at the end, unless something is left to resume."""
    check_is_ours(folder)
    finished = FinishedFiles(folder)
    try:
        yield finished
    except BaseException:
        if not finished:
            remove(folder)
        raise
    remove(folder)
