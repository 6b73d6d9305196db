"""The founding case: a REST service (examples/service) that answers with all rows of a project as
JSON, asked four times in a row, in a container's limits."""

from .box import demo, killed, serve

MEMORY_MIB = 400
CPUS = 0.5
REQUESTS = 4
# Rows of the project, whose JSON takes 66 MB.
ROWS = 315_000


def ask(lab, setting, service, rows=ROWS, watch=None):
    """Starts the service, asks it and ends it: what came of it. Whoever watches is told when it
    begins and of each answer."""
    answers, variables = [], None
    with serve(lab, setting, [service, "-rows", str(rows)], f"{MEMORY_MIB}MiB", CPUS) as running:
        if running.address:
            variables = running.variables
            if watch:
                watch.begin(running)
            for _ in range(REQUESTS):
                text, whole = demo.get(running.address)
                if not whole:
                    break
                answers.append(int(text.split()[1].replace(",", "")))
                if watch:
                    watch.answered()
            if watch:
                watch.end()
    return {
        "answers": len(answers),
        "bytes": answers[0] if answers else None,
        "survived": len(answers) == REQUESTS and not killed(running.report),
        "peak": running.report["memory"]["peak_bytes"],
        "seconds": running.report["seconds"],
        "variables": variables,
    }
