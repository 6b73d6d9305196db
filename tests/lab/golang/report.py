"""What the scripts of the suite share: their main function, and how they print results."""

import os
import signal
import subprocess
import sys

import programs
from programs import CANNOT, Cannot


def main(check_all):
    """Runs a script: builds the programs and checks them."""
    # Signals become exceptions, so that children are ended and their cgroups removed.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("stopped by a signal"))
    report = Report()
    try:
        check_all(report, programs.build_all())
    except Cannot as reason:
        print(f"golang: not run: {reason}")
        sys.exit(CANNOT)
    sys.exit(1 if report.failed else 0)


class Report:
    """Prints the results, and counts the failures."""

    failed = 0

    def check(self, what, **pairs):
        """Each pair is a found and an expected value."""
        wrong = [f"{name}: {found!r}, expected {expected!r}"
                 for name, (found, expected) in pairs.items() if found != expected]
        verdict = f"FAILED: golang: {what}: {'; '.join(wrong)}" if wrong else f"ok: golang: {what}"
        print(verdict, flush=True)
        self.failed += bool(wrong)

    def case(self, function, *arguments):
        """Runs a check. An exception is a failure."""
        try:
            function(self, *arguments)
        except Cannot as reason:
            # Records the case. run.py counts it as passed otherwise.
            print(f"ok: golang: {function.__name__} (not run: {reason})", flush=True)
            with open(os.environ.get("LOADLINE_NOT_RUN", os.devnull), "a", encoding="utf-8") as notes:
                print(f"golang: {function.__name__}: {reason}", file=notes)
        except (OSError, ValueError, LookupError, TypeError, subprocess.SubprocessError) as error:
            where = ", ".join(str(getattr(argument, "name", "")) for argument in arguments)
            said = getattr(error, "stderr", None) or ""
            print(f"FAILED: golang: {function.__name__} {where}: {error!r} {said}", flush=True)
            self.failed += 1
