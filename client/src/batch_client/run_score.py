"""What the command `score` does with a job: score it, or say what would be done."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from batch_client.describe import describe_part, describe_plan, describe_plans, describe_summary, describe_total
from batch_client.inputs import are_several, find_inputs
from batch_client.job import Job
from batch_client.score import plan, score, service_now
from batch_client.screen import Screen, printable
from batch_client.several import check_several, score_several


def run_score(job: Job, sources: Sequence[str], dry_run: bool) -> bool:
    """Score one input, or several as `job` says; returns whether rows have an error. Raises as these do."""
    if are_several(sources):
        return _several(job, sources, dry_run)
    if dry_run:
        _print(describe_plan(job, plan(job)))
        return False
    screen = Screen()
    summary = score(job, screen)
    screen.say(*describe_summary(job, summary))
    return summary.num_failed > 0


def _several(job: Job, sources: Sequence[str], dry_run: bool) -> bool:
    inputs = find_inputs(sources, job.out, job.out_format, takes_all=job.read.format is not None)
    if dry_run:
        plans = check_several(job, inputs)
        _print(describe_plans(plans, inputs, asyncio.run(service_now(job.options))))
        return False
    screen = Screen()
    parts = []
    for part in score_several(job, inputs, screen):
        screen.say(*describe_part(part))
        parts.append(part)
    screen.say(*describe_total(parts, inputs))
    return any(part.file.num_failed for part in parts)


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        print(printable(line))
