"""Measures the engine and the service beside what people would use instead, on this machine.

$ python -m bench                                   # all of it, about half an hour on two cores
$ python -m bench --quick                           # a minute or two, to see that it works; no figures to quote
$ python -m bench --arms engine naive --models bundled --workloads tweets-8x100
$ git worktree add ../before COMMIT && python -m bench --before ../before --arms engine engine-before

How: every arm is a process tree of its own, started before the first measurement, warmed up, and stopped (SIGSTOP)
whenever it is not the one that is measured; all are started anew for each model and kind of text. The arms take turns
on each workload, A B C A B C, and medians over the rounds count. All use the same weights, texts, float32 and number
of threads. Over HTTP the load comes from a further process with its bodies ready. Progress goes to standard error; the
last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
from pathlib import Path

from bench.checkpoints import CACHE, MODELS
from bench.machine import describe_machine
from bench.record import Record
from bench.report import summary, tables, write_run
from bench.session import ARMS_BEFORE, Options, Session, known_arms, log_progress
from bench.workloads import WORKLOADS
from rehearsal.texts import default_texts, describe_texts, read_labelled

QUICK_SHARE = 0.125


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arms = tuple(known_arms())
    parser.add_argument("--arms", nargs="+", choices=arms, metavar="ARM", help=f"of {', '.join(arms)}")
    parser.add_argument("--before", type=Path, help="another checkout, to compare with: the arms that end in -before")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--workloads", nargs="+", choices=tuple(WORKLOADS), default=tuple(WORKLOADS))
    parser.add_argument("--repeats", type=int, default=3, help="rounds; medians over them count (default 3)")
    parser.add_argument(
        "--minutes-per-phase", type=float, default=10, help="begin no further round that would end later (default 10)"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch threads of each arm")
    parser.add_argument("--share", type=float, default=1, help="texts in a run, over the usual number (default 1)")
    parser.add_argument("--scale-texts", type=int, default=100_000, help="texts of the engine's long run; 0 for none")
    parser.add_argument("--texts", type=Path, default=default_texts(), help="lines of label (0, 1, 2), tab, text")
    parser.add_argument("--out", type=Path, default=CACHE / "run.json", help="where the run's figures are kept")
    parser.add_argument("--resume", action="store_true", help="add to what the last run measured, as after a stop")
    parser.add_argument("--again", action="store_true", help="with --resume: forget what it measured of the same first")
    parser.add_argument("--quick", action="store_true", help="an eighth of the texts, one round, nothing kept")
    args = parser.parse_args(arguments)
    if not args.arms:
        args.arms = [arm for arm in arms if args.before or arm not in ARMS_BEFORE]
    if not args.before and (without := [arm for arm in args.arms if arm in ARMS_BEFORE]):
        parser.error(f"{without[0]} needs --before CHECKOUT, such as that of `git worktree add ../before COMMIT`")
    return args


def main() -> int:
    args = parse_arguments(sys.argv[1:])
    if not args.texts.exists():
        print(f"{args.texts} is missing; name a file of labelled texts with --texts.", file=sys.stderr)
        return 2
    CACHE.mkdir(exist_ok=True)
    workloads = [WORKLOADS[name].scaled(QUICK_SHARE if args.quick else args.share) for name in args.workloads]
    texts = read_labelled(args.texts)
    options = Options(
        models=tuple(args.models),
        workloads=tuple(workloads),
        arms=tuple(args.arms),
        repeats=1 if args.quick else args.repeats,
        minutes_per_phase=args.minutes_per_phase,
        threads=args.threads,
        scale_texts=2000 if args.quick and args.scale_texts else args.scale_texts,
        warm_up_texts={"bundled": 40, "roberta-base": 8} if args.quick else {"bundled": 200, "roberta-base": 64},
        texts=texts,
        folder=CACHE,
        before=args.before and args.before.resolve(),
    )
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    if args.resume:
        record = Record.read(CACHE / "record.json")
        record.command += f" && {command}"
        record.add_commit(describe_machine(args.threads)["commit"])
        if args.again:
            record.forget(args.models, args.workloads, args.arms)
    else:
        record = Record(command, describe_machine(args.threads) | {"texts": describe_texts(args.texts, texts)})
    for name, value in record.machine.items():
        print(f"{name}: {value}")
    # A run that gets SIGTERM ends its servers and writes what it has.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        Session(options, record).run()
    finally:
        if record.samples and not args.quick:
            write_run(record, args.out)
            log_progress(f"wrote {args.out}")
    result = summary(record)
    log_progress("\n".join(tables(result)))
    print(json.dumps(result))
    return 1 if record.failures else 0


if __name__ == "__main__":
    sys.exit(main())
