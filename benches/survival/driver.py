"""Spends the runs of the plan: each in a new cgroup, where the settings of a cell take turns."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time

import lab as labs
from golang import container

from . import cells, real, runs
from .cells import BARE, FREE, REAL, UNLIMITED
from .curve import LEAST_RUNS, Curve

# So many programs run at a time, by their CPUs: two cores are what they may use together.
SIDE_BY_SIDE = {"0.5": 4, "1": 2, UNLIMITED: 1}
# So many small cells are measured together, so that little time is lost at the end of a round.
TOGETHER = 4
# The shares of a curve are exact enough if their intervals are so wide on average, where the curves differ.
EXACT_INTERVAL = 0.2
# Steps of the sizes at which the time without a limit is measured, and runs of each. In large containers, the
# sizes are smaller and the runs take turns, because without a limit two of them take several times its memory.
REFERENCE_STEPS, REFERENCE_STEPS_LARGE, REFERENCE_RUNS = (20, 120), (20, 60), 2
# Times are compared at a size that is such a part of the least half point: the smallest of those settings.
TIMED_PART = 0.8
# Runs of each setting for that; fewer where fewer settings are measured, too, and none where one takes a minute.
TIMED_RUNS, TIMED_RUNS_COARSE, UNTIMED_MIB = 5, 3, 8192
# Seconds of CPU for a run and a GiB of the limit, which also depends on the load. Only for the estimate, until runs
# of the cell have been measured.
GUESSED, GUESSED_SLOWER = 3.5, {"json": 6, "cache": 6, "hugo": 15, "prometheus": 5, "etcd": 25}
# Seconds between two lines of progress.
SAY_EVERY = 60
# So many runs may fail, rather than be killed or too slow, before we give up.
MOST_FAILED = 5


class Stopped(Exception):
    """The hours are used up."""


class Driver:
    """Measures what is missing in the file."""

    def __init__(self, lab, file, stages, hours):
        self.lab = lab
        self.runs = runs.Runs(file)
        self.stages = list(stages)
        self.begin = time.monotonic()
        self.deadline = self.begin + hours * 3600
        self.hours = hours
        self.said = self.begin
        self.done = self.failed = 0
        self.programs = {}
        self.children = set()
        self.stopping = False
        self.lock = threading.Lock()

    def measure(self):
        """Spends the plan, or what the hours allow of it."""
        self.build()
        self.announce()
        try:
            for number, stage in enumerate(self.stages, 1):
                for together in groups(stage.cells):
                    self.measure_cells(stage, together)
                self.lab.say(f"survival: stage {number} of {len(self.stages)} is done: {stage.title}")
        except Stopped:
            self.lab.say(f"survival: stopped after {self.hours:g} hours; the same command goes on from here")

    def build(self):
        """Builds or installs the programs of the cells. Cells whose program cannot be had are left out."""
        for go, load in {(cell.go, cell.load) for stage in self.stages for cell in stage.cells}:
            if load not in REAL:
                self.programs[go, load] = container.build(self.lab, go, "benches/survival/load")
                continue
            try:
                self.programs[go, load] = real.install(self.lab, load)
            except labs.Unavailable as reason:
                self.lab.say(f"survival: not run: {load}: {reason}")
                self.stages = [stage._replace(cells=[cell for cell in stage.cells if cell.load != load])
                               for stage in self.stages]

    # How long it takes.

    def announce(self):
        left = [(stage.title, *self.left(stage)) for stage in self.stages]
        runs_left, hours = sum(count for _, count, _ in left), sum(seconds for _, _, seconds in left) / 3600
        self.lab.say(f"survival: {len(self.runs.all)} runs are in {self.runs.file.name}; at most {runs_left} are left, "
                     f"about {hours:.1f} hours")
        self.lab.say(f"survival: this stops after {self.hours:g} hours (--hours), or at Ctrl-C; the next call goes on")
        for title, count, seconds in left:
            if count:
                self.lab.say(f"survival:   {title}: at most {count} runs, {seconds / 60:.0f} minutes")

    def left(self, stage):
        """The runs of a stage that are left, at most, and their seconds. What an earlier stage will have done is
        counted there."""
        earlier = self.stages[:self.stages.index(stage)]
        count, seconds = 0, 0
        for cell in stage.cells:
            before = max((other.runs for other in earlier if cell in other.cells), default=0)
            wanted = sum(max(0, stage.runs - max(before, self.runs.curve(cell, setting).runs))
                         for setting in stage.settings_of(cell) if self.is_due(stage, cell, setting))
            if not before and not self.lab.quick:
                timed = self.timed_runs(cell) * len(cells.timed_percents(cell))
                wanted += max(0, timed - len(self.runs.of(cell, runs.TIME)))
                references = REFERENCE_RUNS * len(reference_steps(cell))
                wanted += max(0, references - len(self.runs.of(cell, runs.REFERENCE)))
            count += wanted
            each = self.runs.seconds(cell) or guess(cell)
            seconds += wanted * each / self.at_a_time(cell)
        return count, seconds

    def say_progress(self):
        if time.monotonic() - self.said < SAY_EVERY:
            return
        self.said = time.monotonic()
        counts, seconds = zip(*map(self.left, self.stages))
        self.lab.say(f"survival: {self.done} runs in {(self.said - self.begin) / 60:.0f} minutes; at most "
                     f"{sum(counts)} left, about {sum(seconds) / 3600:.1f} hours")

    @staticmethod
    def at_a_time(cell):
        return SIDE_BY_SIDE[cell.cpus]

    # What is run.

    def measure_cells(self, stage, together):
        """In rounds, in which each setting that is due runs once."""
        before = self.done
        self.spend([job for cell in together for job in self.reference_jobs(cell)],
                   1 if together[0].limit >= cells.LARGE_MIB else None)
        while jobs := [job for cell in together for job in self.edge_jobs(stage, cell)]:
            self.spend(jobs)
        self.spend([job for cell in together for job in self.timed_jobs(cell)])
        if self.done > before:
            for cell in together:
                self.lab.say(f"survival: {cell}: half survive " + ", ".join(
                    f"{setting} {cell.size(self.runs.curve(cell, setting).half()):.4g}"
                    for setting in stage.settings_of(cell)) + f" {cells.LOADS[cell.load].unit}")

    def is_due(self, stage, cell, setting):
        curve = self.runs.curve(cell, setting)
        if curve.runs >= stage.runs:
            return False
        if stage.shares and curve.runs >= LEAST_RUNS:
            return self.runs.intervals(cell)[setting] > EXACT_INTERVAL
        return not curve.is_exact()

    def edge_jobs(self, stage, cell):
        ask = Curve.next_for_shares if stage.shares else Curve.next
        return [(cell, runs.EDGE, setting, ask(self.runs.curve(cell, setting)))
                for setting in stage.settings_of(cell) if self.is_due(stage, cell, setting)]

    def reference_jobs(self, cell):
        found = [run.size for run in self.runs.of(cell, runs.REFERENCE)]
        return [(cell, runs.REFERENCE, FREE, step) for step in reference_steps(cell)
                for _ in range((1 if self.lab.quick else REFERENCE_RUNS) - found.count(cell.size(step)))]

    @staticmethod
    def timed_runs(cell):
        if cell.limit >= UNTIMED_MIB:
            return 0
        return TIMED_RUNS_COARSE if cells.is_coarse(cell) else TIMED_RUNS

    def timed_jobs(self, cell):
        """In rounds. The size stays the one of the first run, also after the curves have become more exact."""
        if self.lab.quick:
            return []
        found = self.runs.of(cell, runs.TIME)
        settings = list(map(cells.named, cells.timed_percents(cell)))
        if found:
            step = cell.step(found[0].size)
        else:
            step = max(1, int(TIMED_PART * min(self.runs.curve(cell, setting).half() for setting in settings)))
        count = {setting: sum(run.setting == setting for run in found) for setting in settings}
        return [(cell, runs.TIME, setting, step) for turn in range(self.timed_runs(cell)) for setting in settings
                if count[setting] <= turn]

    def spend(self, jobs, at_a_time=None):
        """Runs the jobs, in order, some at a time."""
        if not jobs:
            return
        with concurrent.futures.ThreadPoolExecutor(at_a_time or self.at_a_time(jobs[0][0])) as pool:
            futures = [pool.submit(self.job, *job) for job in jobs]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                # The runs that have not ended are not kept: they run again the next time.
                self.stopping = True
                pool.shutdown(wait=False, cancel_futures=True)
                with self.lock:
                    for child in self.children:
                        kill(child)
                raise
        self.say_progress()

    def job(self, cell, kind, setting, step):
        if time.monotonic() > self.deadline:
            raise Stopped
        run = self.once(cell, kind, setting, cell.size(step))
        with self.lock:
            if run and not self.stopping:
                self.runs.add(run)
                self.done += 1
                self.failed += run.outcome == runs.FAILED
        if self.failed >= MOST_FAILED:
            raise RuntimeError(f"{MOST_FAILED} runs have failed")

    def once(self, cell, kind, setting, size):
        """One run in a new cgroup; None if it was stopped."""
        program, go = self.programs[cell.go, cell.load]
        with tempfile.TemporaryDirectory(dir=self.lab.scratch) as scratch, \
                open(pathlib.Path(scratch) / "stderr", "w+", encoding="utf-8", errors="replace") as errors:
            if cell.load in REAL:
                command, client = real.prepare(cell.load, program, pathlib.Path(scratch), size)
            else:
                command, client = [program, "-load", cell.load, "-size", str(size), "-limit", str(cell.limit),
                                   "-directory", scratch], None
            report = pathlib.Path(scratch) / "report.json"
            memory = [] if setting == FREE else ["--memory", f"{cell.limit}MiB"]
            quota = [] if cell.cpus == UNLIMITED else ["--cpus", cell.cpus]
            with self.lock:
                if self.stopping:
                    return None
                # In a session of its own, so that Ctrl-C on a terminal does not end it and look like a result.
                child = subprocess.Popen(
                    [self.lab.confine, *memory, *quota, "--report", report, "--", *command], start_new_session=True,
                    env=container.environment(variables(cell, setting)), stdout=errors, stderr=errors)
                self.children.add(child)
            if client:
                client.start(child)
            slow = False
            patience = runs.PATIENCE if kind == runs.REFERENCE else self.runs.patience(cell, size)
            try:
                child.wait(patience)
            except subprocess.TimeoutExpired:
                slow = True
                kill(child)
                child.wait(runs.PATIENCE)
            finally:
                with self.lock:
                    self.children.discard(child)
            if self.stopping:
                return None
            result = json.loads(report.read_text(encoding="utf-8"))
            done = client.is_done() if client else result["exit_code"] == 0
            outcome = (runs.OOM if container.killed(result) else runs.SLOW if slow
                       else runs.OK if done else runs.FAILED)
            if outcome == runs.FAILED:
                errors.seek(0)
                self.lab.say(f"survival: {cell}, {setting}, {size:g}: it failed: {errors.read()[-2000:]}")
            return runs.Run(cell.limit, cell.cpus, go, cell.load, setting, cell.gomemlimit(setting), kind, size,
                            outcome, round(result["seconds"], 3), result["memory"]["peak_bytes"] or 0)


def groups(found):
    """Cells that are measured together: small ones with as many CPUs."""
    together = []
    for cell in found:
        if together and (len(together) == TOGETHER or cell.limit >= cells.LARGE_MIB or cell.cpus != together[0].cpus):
            yield together
            together = []
        together.append(cell)
    if together:
        yield together


def reference_steps(cell):
    return REFERENCE_STEPS if cell.limit < cells.LARGE_MIB else REFERENCE_STEPS_LARGE


def guess(cell):
    """The seconds of a run before the first."""
    share = 1 if cell.cpus == UNLIMITED else float(cell.cpus)
    return GUESSED_SLOWER.get(cell.load, GUESSED) * cell.limit / 1024 / share


def variables(cell, setting):
    """GOMAXPROCS is what loadline sets, for all settings, so that only GOMEMLIMIT differs."""
    threads = {} if cell.cpus == UNLIMITED else {"GOMAXPROCS": "1"}
    return threads if setting in (BARE, FREE) else {**threads, "GOMEMLIMIT": str(cell.gomemlimit(setting))}


def kill(child):
    """Kills the program, and then confine removes its cgroup. In a cgroup that thrashes, a program may not get to
    handle SIGTERM for a minute."""
    with contextlib.suppress(OSError, ValueError):
        program = container.demo.last_descendant(child.pid)
        # confine passes SIGTERM on to a program that it is about to start.
        os.kill(program, signal.SIGTERM if program == child.pid else signal.SIGKILL)


def check(lab):
    """Raises Unavailable if this machine cannot make cgroups."""
    labs.run([*lab.limits("100MiB", 0.5), "true"])
