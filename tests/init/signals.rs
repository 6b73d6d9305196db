//! Signals are forwarded to the program. None is lost, and values are kept.

use crate::support::{
    Init, Launch, OF_THE_C_LIBRARY, Opt, Place, Running, children, cpu_time_limit, field,
    forwardable, limit_cpu_time, not_run, probe, queue_limit, resident, send, send_value,
    user_namespaces,
};
use std::thread;
use std::time::{Duration, Instant};

/// SIGRTMIN + 1 of glibc.
const REALTIME: i32 = 35;

/// Signals for faults of the processor. A process may send them too, to get a stack trace.
const FAULTS: [i32; 7] = [
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGSYS,
];

/// A program that reports each signal, until SIGTERM.
fn reporting(place: Place) -> Running {
    Launch::new(place, &["report"]).start_ready()
}

#[track_caller]
fn reach_the_program(mut init: Running, signals: impl Iterator<Item = i32>) {
    for signal in signals.chain([libc::SIGTERM]) {
        init.signal(signal);
        init.expect(&format!("signal {signal}"));
    }
    init.exits_with(0);
}

#[test]
fn every_forwardable_signal_reaches_the_program() {
    for place in Place::all() {
        let others = [&[libc::SIGTERM, libc::SIGTSTP] as &[_], &FAULTS, &OF_THE_C_LIBRARY].concat();
        let signals = forwardable().filter(|signal| !others.contains(signal));
        reach_the_program(reporting(place), signals);
    }
}

/// SIGTSTP is the only stop signal that is forwarded. A terminal sends it to its foreground process group,
/// in which the init is not, so the init gets it only from another process.
#[test]
fn sigtstp_reaches_the_program() {
    for place in Place::all() {
        reach_the_program(reporting(place), [libc::SIGTSTP].into_iter());
    }
}

#[test]
fn signals_of_the_c_library_reach_the_program() {
    for place in Place::all() {
        reach_the_program(reporting(place), OF_THE_C_LIBRARY.into_iter());
    }
}

#[test]
fn fault_signals_from_a_process_reach_the_program() {
    for place in Place::all() {
        reach_the_program(reporting(place), FAULTS.into_iter());
    }
}

#[test]
fn repeated_signal_reaches_the_program_every_time() {
    for place in Place::all() {
        reach_the_program(reporting(place), [libc::SIGHUP; 100].into_iter());
    }
}

/// The kernel sends SIGXCPU to a process about that process's own CPU time (RLIMIT_CPU). What the init
/// spends is no reason to end the program.
#[test]
fn sigxcpu_of_the_init_does_not_reach_the_program() {
    Init::must_be_loadline();
    let init = Init::under_test();
    let mut command = probe(&["spend", "1"]);
    command.push(init.path.clone().into());
    command.extend(probe(&["report"]));
    let mut init = Launch::bare(&[]).program(&command).start_ready();
    limit_cpu_time(init.pid(), 1);
    // The kernel looks at the time at its next tick in which the init runs, and then raises the limit.
    while cpu_time_limit(init.pid()) == 1 {
        init.signal(libc::SIGUSR1);
        init.expect("signal 10");
    }
    // The kernel delivers pending signals in the order of their numbers (signal(7)): 24 before 28.
    init.signal(libc::SIGWINCH);
    init.expect("signal 28");
    // A SIGXCPU from a process is forwarded.
    init.signal(libc::SIGXCPU);
    init.expect("signal 24");
    init.signal(libc::SIGTERM);
    init.expect("signal 15");
    init.exits_with(0);
}

#[test]
fn signal_sent_by_the_program_reaches_it() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["signal-parent", &libc::SIGUSR1.to_string()]).start();
        init.expect("signal 10");
        init.exits_with(0);
    }
}

/// With -g the signals go to the program if its process group is gone.
#[test]
fn program_that_has_left_its_group_gets_the_signals() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["deserter"]).option(Opt::Group).start_ready();
        init.signal(libc::SIGHUP);
        init.expect("signal 1");
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
    }
}

/// Nobody can continue PID 1, so PID 1 continues the program at once.
#[test]
fn program_that_has_left_its_group_and_stops_is_continued() {
    Init::must_be_loadline();
    for place in Place::all() {
        if place == Place::PidOne {
            let mut init = Launch::new(place, &["deserter-stops"]).start();
            init.expect("continued");
            init.exits_with(9);
        }
    }
}

#[test]
fn unhandled_signal_ends_the_program() {
    for place in Place::all() {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGUSR1, REALTIME] {
            let mut init = Launch::new(place, &["pause"]).start_ready();
            init.signal(signal);
            init.exits_with(128 + signal);
        }
    }
}

#[test]
fn sigcont_continues_a_stopped_program() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["stop"]).start();
        init.expect("running");
        let program = init.program();
        init.until("the program is stopped", |_| field(program, "State").starts_with('T'));
        init.signal(libc::SIGCONT);
        init.expect("continued");
        init.signal(libc::SIGTERM);
        init.exits_with(143);
    }
}

#[test]
fn thousand_realtime_signals_arrive_in_order_with_their_values() {
    for place in Place::all() {
        let mut init = reporting(place);
        for value in 0..1000 {
            init.signal_with_value(REALTIME, value);
        }
        for value in 0..1000 {
            init.expect(&format!("signal {REALTIME} value {value}"));
        }
        reach_the_program(init, [].into_iter());
    }
}

#[test]
fn realtime_signals_without_a_value_arrive_as_often_as_they_were_sent() {
    for place in Place::all() {
        let mut init = reporting(place);
        for _ in 0..1000 {
            // kill(2) succeeds even if the queue is full.
            init.signal(REALTIME);
        }
        for _ in 0..1000 {
            init.expect(&format!("signal {REALTIME}"));
        }
        reach_the_program(init, [].into_iter());
    }
}

#[test]
fn full_queue_loses_no_signal_and_delays_no_other() {
    const ROOM: i32 = 16;
    if !user_namespaces() {
        return;
    }
    for place in Place::all() {
        let mut init = Launch::new(place, &["hold"]).user_namespace().queue(16).start_ready();
        let program = init.program();
        for value in 0..ROOM {
            assert!(send_value(program, REALTIME, value));
        }
        assert!(!send_value(program, REALTIME, ROOM), "the queue of the program is full");
        init.raise_queue();
        for value in ROOM..ROOM + 8 {
            init.signal_with_value(REALTIME, value);
        }
        // The program takes nothing from its queue before SIGTERM.
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        for value in 0..ROOM + 8 {
            init.expect(&format!("signal {REALTIME} value {value}"));
        }
        init.signal(libc::SIGUSR1);
        init.expect("signal 10");
        init.exits_with(0);
    }
}

/// The test keeps the queue full. An init that lets its own pending signals fill the queue has no room to
/// forward them.
#[test]
fn flood_of_signals_arrives_complete() {
    if !user_namespaces() {
        return;
    }
    for place in Place::all() {
        let mut init = Launch::new(place, &["report"]).user_namespace().queue(16).start_ready();
        for round in 0..20 {
            // Fewer lines than fill the pipe, so that the program never blocks.
            let values = round * 1000..(round + 1) * 1000;
            for value in values.clone() {
                init.signal_with_value(REALTIME, value);
            }
            for value in values {
                init.expect(&format!("signal {REALTIME} value {value}"));
            }
        }
        reach_the_program(init, [].into_iter());
    }
}

/// The test takes the room that the program leaves in the queue faster than the init can use it. The init
/// keeps a few signals, and leaves the others to the kernel.
#[test]
fn flood_of_signals_does_not_let_the_memory_grow() {
    const SIGNALS: i32 = 20_000;
    const PATIENCE: Duration = Duration::from_secs(60);
    Init::must_be_loadline();
    if !user_namespaces() {
        return;
    }
    for place in Place::all() {
        let launch = Launch::new(place, &["report"]).user_namespace().queue(16);
        let mut init = launch.start_idle();
        let pid = init.pid();
        let before = resident(pid);
        let mut most = before;
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut value, start) = (0, Instant::now());
                while value < SIGNALS && start.elapsed() < PATIENCE {
                    value += i32::from(send_value(pid, REALTIME, value));
                }
            });
            for value in 0..SIGNALS {
                init.expect(&format!("signal {REALTIME} value {value}"));
                if value % 100 == 0 {
                    most = most.max(resident(pid));
                }
            }
        });
        init.wait_until_idle();
        let after = resident(pid);
        assert!(most <= before + 16, "{before} kB became {most} kB");
        assert!(after <= before + 8, "{before} kB became {after} kB at the end");
        assert_eq!(queue_limit(pid), 16, "the limit is what it was");
        reach_the_program(init, [].into_iter());
    }
}

/// As long as the program takes none, the kernel tells the sender that there is no room (EAGAIN).
#[test]
fn burst_of_signals_is_refused_when_there_is_no_room_and_arrives_when_there_is() {
    // More than fits into both queues and into what the init keeps, even if it does not run meanwhile.
    const BURST: i32 = 5000;
    Init::must_be_loadline();
    if !user_namespaces() {
        return;
    }
    for place in Place::all() {
        let launch = Launch::new(place, &["hold"]).user_namespace().queue(16);
        let mut init = launch.start_idle();
        let pid = init.pid();
        let before = resident(pid);
        init.raise_queue();
        let limit = queue_limit(pid);
        let mut sent = 0;
        init.until("the sender is told", |_| {
            assert!(sent < BURST, "nobody tells the sender");
            let is_sent = send_value(pid, REALTIME, sent);
            sent += i32::from(is_sent);
            !is_sent
        });
        // Others are not delayed. The program takes nothing from its queue before SIGTERM.
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        for value in 0..sent {
            init.expect(&format!("signal {REALTIME} value {value}"));
        }
        init.wait_until_idle();
        assert_eq!(queue_limit(pid), limit, "the limit is what it was");
        let after = resident(pid);
        assert!(after <= before + 8, "{before} kB became {after} kB at the end");
        init.signal(libc::SIGUSR1);
        init.expect("signal 10");
        init.exits_with(0);
    }
}

#[test]
fn group_gets_the_signal() {
    for place in Place::all() {
        group_is_signalled(Launch::new(place, &["group"]).option(Opt::Group));
    }
}

#[test]
fn group_gets_the_signal_if_a_variable_asks_for_it() {
    for place in Place::all() {
        let launch = Launch::new(place, &["group"]);
        group_is_signalled(launch.option(Opt::Variable("TINI_KILL_PROCESS_GROUP=")));
    }
}

#[test]
fn group_gets_the_signal_with_fork() {
    let Some(init) = Init::with_fork() else {
        not_run("LOADLINE_ARTIFACT_FORK is not set, so there is no init that uses fork");
        return;
    };
    for place in Place::all() {
        let launch = Launch::new(place, &["group"]).init(&init);
        group_is_signalled(launch.option(Opt::Group));
    }
}

/// A program and its child, both ready to report signals.
#[track_caller]
fn group(launch: Launch) -> Running {
    let mut init = launch.start();
    let mut ready = [init.line(), init.line()];
    ready.sort();
    assert_eq!(ready, ["grandchild ready", "ready"]);
    init
}

#[track_caller]
fn group_is_signalled(launch: Launch) {
    let mut init = group(launch);
    for signal in [libc::SIGHUP, REALTIME] {
        init.signal(signal);
        let mut seen = [init.line(), init.line()];
        seen.sort();
        assert_eq!(seen, [format!("grandchild {signal}"), format!("signal {signal}")]);
    }
    init.signal(libc::SIGTERM);
    init.exits_with(0);
}

#[test]
fn only_the_program_gets_the_signal_without_the_group_option() {
    for place in Place::all() {
        let mut init = group(Launch::new(place, &["group"]).option(Opt::Alone));
        let program = init.program();
        let grandchild = children(program)[0];
        for signal in [libc::SIGHUP, REALTIME] {
            init.signal(signal);
            init.expect(&format!("signal {signal}"));
        }
        // The grandchild reports signals in order, so it has got none before this one.
        send(grandchild, libc::SIGUSR1);
        init.expect("grandchild 10");
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}
