"""The case of `make demo`: a REST service (examples/service) that answers with all rows of a project as
JSON, four requests in a row, in a container's limits."""

import time

from .container import demo, killed, serve

MEMORY_MIB = 400
CPUS = 0.5
REQUESTS = 4
# Rows of the project, and the bytes of their JSON.
ROWS, BYTES = 315_000, 66_012_856


def ask(lab, setting, service, rows=ROWS, cpus=CPUS, patience=demo.PATIENCE, watch=None):
    """Starts the service, sends the requests, stops it, and returns the outcome. `watch` has begin(running),
    answered() and end(), and is called at the first request, after each answer, and after the last."""
    answers, variables = [], None
    with serve(lab, setting, [service, "-rows", str(rows)], f"{MEMORY_MIB}MiB", cpus) as running:
        if running.address:
            variables = running.variables
            if watch:
                watch.begin(running)
            for _ in range(REQUESTS):
                begin = time.monotonic()
                text, whole = demo.get(running.address, patience)
                if not whole:
                    break
                answers.append(round(time.monotonic() - begin, 3))
                if watch:
                    watch.answered()
            if watch:
                watch.end()
    return {
        "answers": len(answers),
        "seconds_each": answers,
        "survived": len(answers) == REQUESTS and not killed(running.report),
        "peak": running.report["memory"]["peak_bytes"],
        "seconds": running.report["seconds"],
        "variables": variables,
    }
