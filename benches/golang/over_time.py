"""The memory of the service's cgroup over time, bare and under loadline, while it answers the four requests
of the demo or is killed."""

import threading
import time

import lab as labs

from . import container, demo_case

TITLE = "Over time"

VERSION = "1.24"
# Whether the bare service survives is chance: it is run again until it is killed, at most so often.
TRIES = 3
INTERVAL = 0.02
PICTURE = "memory.svg"
RED, BLUE = "#b42318", "#0b57b0"


class Sampler:
    """Reads the memory usage of a cgroup at short intervals."""

    def __init__(self):
        self.samples, self.answers = [], []
        self.done = threading.Event()
        self.start = self.thread = self.ended = None

    def begin(self, running):
        file = container.usage_file(running.directory())
        self.start = time.monotonic()
        self.thread = threading.Thread(target=self.sample, args=[file])
        self.thread.start()

    def answered(self):
        self.answers.append(self.now())

    def end(self):
        self.ended = self.now()
        self.done.set()
        self.thread.join()

    def sample(self, file):
        while True:
            try:
                used = int(file.read_text())
            except OSError:
                return  # The cgroup is removed with the service.
            self.samples.append((self.now(), used))
            if self.done.wait(INTERVAL):
                return

    def now(self):
        return round(time.monotonic() - self.start, 3)


def once(lab, setting, service):
    sampler = Sampler()
    ran = demo_case.ask(lab, setting, service, watch=sampler)
    samples = [sample for sample in sampler.samples if sample[0] <= sampler.ended]
    return {**ran, "samples": samples, "answered_at": sampler.answers, "ended": sampler.ended}


def measure(lab):
    container.check(lab)
    service, full = container.build(lab, VERSION, "examples/service")
    for _ in range(TRIES):
        bare = once(lab, container.Setting("bare"), service)
        if not bare["survived"]:
            break
    return {"go": full, "bare": bare, "loadline": once(lab, container.Setting("loadline", loadline=[]), service)}


def report(data):
    bare, under = data["bare"], data["loadline"]
    return f"""
![Memory over time: bare, the kernel kills the service; under loadline it stays below the limit]({PICTURE})

The case of `make demo`: a REST service answers with all rows of a project as JSON, {demo_case.BYTES / 1e6:.0f} MB, {demo_case.REQUESTS} requests
in a row, in a cgroup of {demo_case.MEMORY_MIB} MiB without swap and {demo_case.CPUS} CPU. Go {data["go"]}, one run each; the memory of
the cgroup was read every {INTERVAL * 1000:.0f} ms.

Bare, the service {"survived" if bare["survived"] else "was killed"} after {bare["answers"]} of {demo_case.REQUESTS} answers. Under loadline it gave {under["answers"]} of {demo_case.REQUESTS}, with
`GOMEMLIMIT={under["variables"]["GOMEMLIMIT"]}` and `GOMAXPROCS={under["variables"]["GOMAXPROCS"]}`, and used {under["peak"] / container.MIB:.0f} MiB at most.
"""


def targets(data):
    bare, under = data["bare"], data["loadline"]
    text = f"{bare['answers']} of {demo_case.REQUESTS} answers bare, {under['answers']} under loadline"
    return [("the service of the demo survives under loadline", under["survived"], text)]


def draw(data, folder):
    plot = labs.pyplot()
    limit, goal = demo_case.MEMORY_MIB, int(data["loadline"]["variables"]["GOMEMLIMIT"]) / container.MIB
    figure, axes = plot.subplots(figsize=(8.6, 3.9))
    right = max(data[name]["ended"] for name in ("bare", "loadline")) * 1.03

    # The labels are on the left, where the curves are still low.
    axes.axhline(limit, color=labs.TEXT, linewidth=1.2)
    axes.text(right * 0.01, limit + 6, f"limit of the container, {limit} MiB", va="bottom")
    axes.axhline(goal, color=BLUE, linewidth=1.0, linestyle=(0, (5, 4)))
    axes.text(right * 0.01, goal + 6, f"GOMEMLIMIT, {goal:.0f} MiB", va="bottom", color=BLUE)

    for name, color, label in [("bare", RED, "bare"), ("loadline", BLUE, "under loadline")]:
        ran = data[name]
        times = [time for time, _ in ran["samples"]]
        used = [used / container.MIB for _, used in ran["samples"]]
        if name == "bare" and not ran["survived"]:
            # The curve ends at the kill. The peak was between two samples, but the kernel records it.
            last = max(range(len(used)), key=used.__getitem__)
            times = [*times[:last + 1], ran["ended"]]
            used = [*used[:last + 1], ran["peak"] / container.MIB]
        axes.plot(times, used, color=color, linewidth=1.8, solid_joinstyle="round", label=label, zorder=3)
        for count, at in enumerate(ran["answered_at"], 1):
            nearest = min(range(len(times)), key=lambda n: abs(times[n] - at))
            axes.plot(at, used[nearest], "o", color=labs.CARD, markeredgecolor=color, markersize=6,
                      markeredgewidth=1.6, zorder=4)
            axes.annotate(count, (at, used[nearest]), (0, -8), textcoords="offset points",
                          ha="center", va="top", color=color)
        if name == "bare" and not ran["survived"]:
            axes.plot(times[-1], used[-1], "X", color=color, markersize=10, zorder=5)
            axes.annotate("OOM-killed", (times[-1], used[-1]), (0, 8), textcoords="offset points",
                          ha="center", va="bottom", color=color, fontweight="bold")
    axes.set_xlim(0, right)
    axes.set_ylim(0, limit * 1.18)
    axes.set_yticks(range(0, limit + 1, 100))
    axes.set_xlabel("seconds since the first request")
    axes.set_ylabel("memory of the container, MiB")
    axes.plot([], [], "o", color=labs.CARD, markeredgecolor=labs.TEXT, markersize=6, markeredgewidth=1.6,
              label="answered: 66 MB of JSON")
    axes.legend(loc="lower right", frameon=False)
    labs.save(figure, folder / PICTURE)
    plot.close(figure)
