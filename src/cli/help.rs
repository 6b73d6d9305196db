//! The texts of `--help`, `--version` and `-l`. Each is printed as it is.

/// The text of `--help`: one line for each option, on a screen of 44 lines and 80 columns.
pub const HELP: &str = "\
Usage: loadline [OPTIONS] [--] PROGRAM [ARGS...]
Runs a Go program as PID 1 of a container, within the container's limits.

Limits:
  --memory MODE           set GOMEMLIMIT: auto (if unset), cap, always or off
  --memory-ratio R        Go's share of the limit (default 0.8: 20% headroom)
  --memory-reserve SIZE   keep at least SIZE of the limit out of GOMEMLIMIT
  --memory-min SIZE       set GOMEMLIMIT to at least SIZE, or to a lower limit
  --memory-limit SIZE     override the limit: 400MiB, 400Mi, 400M or bytes
  --cpu MODE              set GOMAXPROCS: auto, static (always), live or off
  --cpu-limit CPUS        override the CPU quota: 0.5 or 500m
  --cpu-min N             set GOMAXPROCS to at least N (default 1)
  --cpu-rounding up|down  round a fraction of a CPU up (default) or down
  --exec                  become the program: no init stays behind

Init (short options as in tini):
  -s                      reap orphans even if not PID 1 (TINI_SUBREAPER)
  -g                      signal the process group (TINI_KILL_PROCESS_GROUP)
  -p SIGNAL               get SIGNAL when the parent process dies
  -e CODE                 report the exit code CODE as 0; repeatable
  -w                      warn when a zombie is reaped
  -v                      log more; repeatable (TINI_VERBOSITY=2)
  --rewrite FROM:TO       forward signal FROM as TO, or drop it (0); repeatable
  --stop-delay TIME       forward the first TERM, INT or QUIT only after TIME
  --kill-after TIME       send SIGKILL TIME after the first TERM, INT or QUIT
  --wait-all              stay as long as the program has descendants
  --drain TIME            at the end, stop leftover processes within TIME

While the program runs, and at its end:
  --on-resize ACTION      on new limits: ignore, log, signal:NAME or exit
  --memory-warn           warn before memory runs out (cgroup v2)
  --report[=text|json]    print a summary of the run, as -v does
  --termination-log PATH  report OOM kills here too (/dev/termination-log)

Other:
  --explain[=FORMAT]      show the decisions, run nothing: text, json or env
  --inspect[=FORMAT] PID  the same for a running program: text or json (PID 1)
  --install DIR           copy this program to DIR/loadline
  --root DIR              read /proc and /sys below DIR
  -l, -h, --help, --version   show the license, this help, the version

Each long option above \"Other\" has a variable: --cpu-min is LOADLINE_CPU_MIN.
";

/// The text of `--version`. dockerd parses it and takes the commit from what follows ` - git.`.
pub const VERSION: &str = concat!(
    "loadline version ",
    env!("CARGO_PKG_VERSION"),
    " - git.",
    env!("LOADLINE_COMMIT"),
    "\n"
);

/// The text of `-l`.
pub const LICENSE: &str = include_str!("../../LICENSE");
