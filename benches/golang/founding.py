"""The case that loadline was written for, whole: the service of the demo in 400 MiB with 20 millicores, where an
answer takes minutes."""

import lab as labs

from . import container, demo_case

TITLE = "With 20 millicores"

VERSION = "1.24"
CPUS = 0.02
# Seconds without a byte of an answer.
PATIENCE = 1800
# With --quick the case is smaller, and has more CPU.
QUICK_CPUS, QUICK_ROWS = 0.2, 20_000

SETTINGS = [container.Setting("bare"), container.Setting("loadline", loadline=[])]


def measure(lab):
    container.check(lab)
    service, full = container.build(lab, VERSION, "examples/service")
    cpus, rows = (QUICK_CPUS, QUICK_ROWS) if lab.quick else (CPUS, demo_case.ROWS)
    ran = container.side_by_side([
        lambda setting=setting: demo_case.ask(lab, setting, service, rows, cpus, PATIENCE) for setting in SETTINGS])
    return {"go": full, "cpus": cpus, "runs": {setting.name: run for setting, run in zip(SETTINGS, ran)}}


def report(data):
    rows = []
    for name, ran in data["runs"].items():
        variables = ran["variables"]
        rows.append([
            f"**{name}**" if name == "loadline" else name, variables["GOMEMLIMIT"], variables["GOMAXPROCS"],
            f"{ran['answers']} of {demo_case.REQUESTS}", ", ".join(minutes(taken) for taken in ran["seconds_each"]),
            f"{ran['peak'] / container.MIB:.0f}", minutes(ran["seconds"])])
    return f"""
The case that loadline was written for: the same {demo_case.REQUESTS} requests for {demo_case.BYTES / 1e6:.0f} MB of JSON in {demo_case.MEMORY_MIB} MiB, but with
{data["cpus"]} CPU. One run each, with Go {data["go"]}; both at the same time, as they leave most of the machine idle.

{labs.table(["", "GOMEMLIMIT", "GOMAXPROCS", "answers", "minutes of each", "peak MiB", "minutes in all"], *rows)}
"""


def minutes(seconds):
    return f"{seconds / 60:.1f}"


def targets(data):
    runs = data["runs"]
    text = f"{runs['bare']['answers']} of {demo_case.REQUESTS} answers bare, {runs['loadline']['answers']} under loadline"
    return [("the service survives under loadline with 20 millicores", runs["loadline"]["survived"], text)]
