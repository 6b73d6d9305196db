"""How suites in Python check and report. A case is an iterable of (passed, description) pairs; tests/run.py
counts the lines that are printed for them."""

import traceback


def equal(found, expected, what):
    """A pair for a value, with both values if they differ."""
    return found == expected, what if found == expected else f"{what}: {found}, expected {expected}"


def check(suite, name, case):
    """Prints a line for each pair of a case. Returns whether all passed. An exception ends the case as a failure."""
    passed = True
    try:
        for good, what in case:
            print(f"{'ok' if good else 'FAILED'}: {suite}: {what}", flush=True)
            passed = passed and good
    except Exception as error:  # whatever it is, the cases after this one run
        traceback.print_exc()
        print(f"FAILED: {suite}: {name}: {error!r}", getattr(error, "stderr", None) or "", flush=True)
        passed = False
    return passed


def run(suite, cases):
    """Runs functions that make cases. Returns the exit code."""
    return 0 if all([check(suite, case.__name__, case()) for case in cases]) else 1
