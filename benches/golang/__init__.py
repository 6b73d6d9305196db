"""What loadline is for: Go services in a container's limits, measured. The parts are modules by the
same contract as this one: the answers that survive, the headroom they need, the threads, and the
picture of the memory over time."""

from . import answers, box, headroom, over_time, threads

NAME = "golang"
TITLE = "What a Go service gets"

PARTS = {"over_time": over_time, "answers": answers, "headroom": headroom, "threads": threads}


def measure(lab):
    box.check(lab)
    data = {name: part.measure(lab) for name, part in PARTS.items()}
    lab.versions["Go"] = ", ".join(sorted(box.used.values()))
    return data


def report(data):
    return "\n".join(PARTS[name].report(part).strip() + "\n" for name, part in data.items())


def bars(data):
    return [bar for name, part in data.items() for bar in PARTS[name].bars(part)]


def draw(data, folder):
    for name, part in data.items():
        if hasattr(PARTS[name], "draw"):
            PARTS[name].draw(part, folder)
