use super::*;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use tempfile::{NamedTempFile, TempDir, tempdir};

/// A bundle with this process and more. Its program is unknown.
fn bundle(process: &str, more: &str) -> TempDir {
    let bundle = tempdir().unwrap();
    let text = format!(
        r#"{{"process":{process},"root":{{"path":"rootfs"}},"mounts":[
            {{"destination":"/dev","type":"tmpfs"}},{{"destination":"/sys/fs/cgroup","type":"cgroup"}}],
            "linux":{{"cgroupsPath":"/no/such/cgroup","namespaces":[{{"type":"pid"}}],
            "resources":{{"memory":{{"limit":419430400}},"cpu":{{"quota":1000,"period":100000}}}}}}{more}}}"#
    );
    fs::write(bundle.path().join("config.json"), text).unwrap();
    bundle
}

fn decided(bundle: &TempDir, settings: &Settings) -> Decision {
    decide(bundle.path(), settings).unwrap()
}

/// The environment after the decision, or what was there if nothing changes.
fn environment(bundle: &TempDir, settings: &Settings) -> Vec<String> {
    let decision = decided(bundle, settings);
    let text = decision
        .edited
        .unwrap_or_else(|| bundle::read(&bundle.path().join(bundle::CONFIG)).unwrap());
    let config = Config::parse(&text).unwrap();
    config.command().unwrap().unwrap().env.into_iter().map(|(entry, _)| entry).collect()
}

const SERVICE: &str = r#"{"args":["/service"],"env":["A=1"]}"#;

#[test]
fn the_variables_follow_the_limits() {
    assert_eq!(
        environment(&bundle(SERVICE, ""), &Settings::default()),
        ["A=1", "GOMEMLIMIT=335544320", "GOMAXPROCS=1"]
    );
}

#[test]
fn values_that_are_set_stay() {
    let process = r#"{"args":["/service"],"env":["GOMEMLIMIT=1GiB","GOMAXPROCS=7"]}"#;
    let decision = decided(&bundle(process, ""), &Settings::default());
    assert_eq!(decision.edited, None);
    assert!(decision.warnings[0].contains("too high to help"), "{:?}", decision.warnings);
}

#[test]
fn the_containers_variables_win_over_annotations_and_those_over_the_host() {
    let settings = Settings {
        variables: vec![c"LOADLINE_MEMORY_RATIO=0.25".to_owned()],
        ..Settings::default()
    };
    assert_eq!(environment(&bundle(SERVICE, ""), &settings)[1], "GOMEMLIMIT=104857600");
    let annotated = r#","annotations":{"loadline.memory-ratio":"0.5","other":"x"}"#;
    assert_eq!(environment(&bundle(SERVICE, annotated), &settings)[1], "GOMEMLIMIT=209715200");
    let process = r#"{"args":["/service"],"env":["LOADLINE_MEMORY_RATIO=1"]}"#;
    assert_eq!(environment(&bundle(process, annotated), &settings)[1], "GOMEMLIMIT=419430400");
}

/// runc and crun set one after the other. containerd puts the variables of a pod behind those of the image.
#[test]
fn the_last_entry_for_a_variable_counts() {
    let process =
        r#"{"args":["/x"],"env":["LOADLINE_MEMORY_RATIO=1","LOADLINE_MEMORY_RATIO=0.5"]}"#;
    assert_eq!(
        environment(&bundle(process, ""), &Settings::default())[2..],
        ["GOMEMLIMIT=209715200", "GOMAXPROCS=1"]
    );
    let process = r#"{"args":["/x"],"env":["GOMEMLIMIT=","GOMEMLIMIT=1MiB","LOADLINE_CPU=off"]}"#;
    assert_eq!(decided(&bundle(process, ""), &Settings::default()).edited, None);
}

#[test]
fn a_container_can_be_left_alone() {
    let process = r#"{"args":["/service"],"env":["LOADLINE_MEMORY=off","LOADLINE_CPU=off"]}"#;
    assert_eq!(decided(&bundle(process, ""), &Settings::default()).edited, None);
    let annotated = r#","annotations":{"loadline.memory":"off","loadline.cpu":"off"}"#;
    assert_eq!(decided(&bundle(SERVICE, annotated), &Settings::default()).edited, None);
}

#[test]
fn options_of_loadline_in_the_container_count() {
    let process = r#"{"args":["/loadline","--memory-ratio","0.5","--cpu=off","--","/service"]}"#;
    assert_eq!(environment(&bundle(process, ""), &Settings::default()), ["GOMEMLIMIT=209715200"]);
    // As by `docker run --init`.
    let process = process.replace(r#"["/loadline""#, r#"["/sbin/docker-init","--","/loadline""#);
    assert_eq!(environment(&bundle(&process, ""), &Settings::default()), ["GOMEMLIMIT=209715200"]);
}

/// It would take the values for the user's, and do nothing if limits change.
#[test]
fn a_loadline_that_acts_on_new_limits_sets_the_variables_itself() {
    let file = init_file();
    let with_init = Settings { init: true, init_path: file.path().into(), ..Settings::default() };
    let on_host =
        Settings { variables: vec![c"LOADLINE_ON_RESIZE=exit".to_owned()], ..Settings::default() };
    let without = Settings::default();
    for (args, env, settings, count) in [
        (r#""/loadline","--on-resize=exit","--","/x""#, "A=1", &without, 1),
        (r#""/tini","--","/loadline","--on-resize=exit","--","/x""#, "A=1", &without, 1),
        (r#""/loadline","/x""#, "LOADLINE_ON_RESIZE=signal:USR1", &without, 1),
        (r#""/loadline","/x""#, "LOADLINE_ON_RESIZE=log", &without, 3),
        (r#""/loadline","/x""#, "A=1", &on_host, 3),
        (r#""/x""#, "LOADLINE_ON_RESIZE=exit", &without, 3),
        (r#""/x""#, "LOADLINE_ON_RESIZE=exit", &with_init, 1),
    ] {
        let process = format!(r#"{{"args":[{args}],"env":["{env}"]}}"#);
        let bundle = bundle(&process, "");
        assert_eq!(environment(&bundle, settings).len(), count, "{process}");
        let decision = decided(&bundle, settings);
        assert_eq!(decision.left_alone.is_some(), count == 1);
        assert_eq!(decision.edited.is_some(), count > 1 || settings.init);
    }
}

#[test]
fn a_bad_annotation_is_a_warning() {
    let annotated = r#","annotations":{"loadline.nope":"1","loadline.memory-ratio":"x"}"#;
    let decision = decided(&bundle(SERVICE, annotated), &Settings::default());
    assert!(decision.edited.is_some());
    let mut warnings = decision.warnings;
    warnings.sort();
    assert_eq!(warnings[0], "annotation loadline.nope: there is no such setting");
    assert!(
        warnings[1].starts_with("ignoring LOADLINE_MEMORY_RATIO=\"x\": expected "),
        "{warnings:?}"
    );
}

#[test]
fn an_annotation_fakes_no_line() {
    let annotated =
        r#","annotations":{"loadline.a\nb\u001b[31m":"1","loadline.init":"\u001b\u202e\n"}"#;
    let warnings = decided(&bundle(SERVICE, annotated), &Settings::default()).warnings;
    assert_eq!(
        warnings,
        [
            r"annotation loadline.a\x0ab\x1b[31m: there is no such setting",
            r#"annotation loadline.init: expected true or false, not "\x1b\u{202e}\x0a""#,
        ]
    );
}

#[test]
fn sandboxes_are_left_alone() {
    for (name, value) in SANDBOX {
        let annotation = format!(r#","annotations":{{"{name}":"{value}"}}"#);
        let decision = decided(&bundle(SERVICE, &annotation), &Settings::default());
        assert_eq!(decision.edited, None);
        assert!(decision.left_alone.is_some());
    }
    let container = r#","annotations":{"io.kubernetes.cri.container-type":"container"}"#;
    assert!(decided(&bundle(SERVICE, container), &Settings::default()).edited.is_some());
}

/// A file that can be executed.
fn init_file() -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::set_permissions(file.path(), Permissions::from_mode(0o755)).unwrap();
    file
}

/// The first arguments after the decision, with an init whose file exists.
fn arguments(process: &str, more: &str, init: bool) -> (Vec<String>, Vec<String>) {
    let file = init_file();
    let settings = Settings { init, init_path: file.path().into(), ..Settings::default() };
    let bundle = bundle(process, more);
    let decision = decided(&bundle, &settings);
    let text = decision.edited.unwrap();
    let config = Config::parse(&text).unwrap();
    let args = config.command().unwrap().unwrap().args;
    let mounted = config.mounts().unwrap().iter().any(|mount| mount.destination == INIT_PATH);
    assert_eq!(mounted, args[0] == INIT_PATH);
    (args, decision.warnings)
}

#[test]
fn a_container_gets_an_init_if_it_is_asked_for() {
    let annotated = |value: &str| format!(r#","annotations":{{"loadline.init":"{value}"}}"#);
    for (init, annotation, gets_it) in [
        (false, String::new(), false),
        (true, String::new(), true),
        (false, annotated("true"), true),
        (true, annotated("false"), false),
        (true, annotated("perhaps"), true),
    ] {
        let (args, warnings) = arguments(SERVICE, &annotation, init);
        let expected: &[_] = if gets_it { &[INIT_PATH, "--", "/service"] } else { &["/service"] };
        assert_eq!(args, expected, "{init} {annotation}");
        assert_eq!(warnings.len(), usize::from(annotation.contains("perhaps")));
    }
}

#[test]
fn what_has_to_be_pid_1_gets_no_init() {
    let (args, warnings) = arguments(r#"{"args":["/lib/systemd/systemd"]}"#, "", true);
    assert_eq!(args, ["/lib/systemd/systemd"]);
    assert_eq!(warnings, ["the container gets no init: its program has to be PID 1"]);
}

#[test]
fn an_init_that_could_not_be_executed_is_left_out() {
    let file = init_file();
    for (path, mode) in [(Path::new("/none"), 0o755), (Path::new("/"), 0o755), (file.path(), 0o744)]
    {
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        let settings = Settings { init: true, init_path: path.into(), ..Settings::default() };
        let decision = decided(&bundle(SERVICE, ""), &settings);
        let path = path.display();
        let expected = format!(
            "the container gets no init: there is no file {path} that everybody may execute"
        );
        assert_eq!(decision.warnings, [expected]);
    }
}

#[test]
fn the_last_mount_of_dev_counts() {
    let file = init_file();
    let settings = Settings { init: true, init_path: file.path().into(), ..Settings::default() };
    for (destination, file_system, gets_it) in [
        ("/dev", "bind", false),
        ("/dev/", "bind", false),
        ("/dev/", "tmpfs", true),
        ("/dev/shm", "bind", true),
    ] {
        let bundle = bundle(SERVICE, "");
        let path = bundle.path().join(bundle::CONFIG);
        let text = fs::read_to_string(&path).unwrap();
        let last = r#""type":"cgroup"}"#;
        let more = format!(r#"{last},{{"destination":"{destination}","type":"{file_system}"}}"#);
        fs::write(path, text.replace(last, &more)).unwrap();
        let decision = decided(&bundle, &settings);
        assert_eq!(decision.warnings.is_empty(), gets_it, "{destination} {file_system}");
    }
}

#[test]
fn an_init_that_is_not_pid_1_adopts_orphans() {
    let file = init_file();
    let settings = Settings { init: true, init_path: file.path().into(), ..Settings::default() };
    for (namespaces, expected) in [
        (r#"[{"type":"pid"}]"#, "--"),
        (r#"[{"type":"pid","path":""}]"#, "--"),
        (r#"[{"type":"pid","path":"/proc/1/ns/pid"}]"#, "-s"),
        (r#"[{"type":"mount"}]"#, "-s"),
    ] {
        let bundle = bundle(SERVICE, "");
        let path = bundle.path().join("config.json");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace(r#"[{"type":"pid"}]"#, namespaces)).unwrap();
        let text = decided(&bundle, &settings).edited.unwrap();
        let args = Config::parse(&text).unwrap().command().unwrap().unwrap().args;
        assert_eq!(args[1], expected, "{namespaces}");
    }
}

#[test]
fn a_decision_that_takes_too_long_or_panics_is_an_error() {
    let late = in_time::<()>(Duration::from_millis(20), || {
        loop {
            thread::park();
        }
    });
    assert_eq!(late, Err("no decision within 20 ms".to_owned()));
    let panicked = in_time::<()>(PATIENCE, || panic!("in a test"));
    assert_eq!(panicked, Err("internal error: in a test".to_owned()));
    let panicked = in_time::<()>(PATIENCE, || Err(format!("{:?}", Vec::<u8>::new().remove(0))));
    assert!(panicked.unwrap_err().starts_with("internal error: removal index"));
    assert_eq!(in_time(PATIENCE, || Ok(1)), Ok(1));
}

#[test]
fn a_bundle_is_edited_in_place_or_not_at_all() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let log_name: &'static [u8] = log.path().as_os_str().as_bytes().to_vec().leak();
    let edit = |bundle: &TempDir| {
        let path: &'static [u8] = bundle.path().as_os_str().as_bytes().to_vec().leak();
        let create = Create { bundle: path, log: Some(log_name), ..Create::default() };
        prepare(&create, &Settings::default(), &Log::new(&create));
        bundle::read(&bundle.path().join(bundle::CONFIG)).unwrap()
    };
    assert!(edit(&bundle(SERVICE, "")).contains("GOMEMLIMIT"));
    assert_eq!(fs::read_to_string(log.path()).unwrap(), "");
    // crun takes another file, by its name.
    let other = bundle(SERVICE, "");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::copy(other.path().join(bundle::CONFIG), file.path()).unwrap();
    let name: &'static [u8] = file.path().as_os_str().as_bytes().to_vec().leak();
    let path: &'static [u8] = other.path().as_os_str().as_bytes().to_vec().leak();
    let create =
        Create { bundle: path, config: Some(name), log: Some(log_name), ..Create::default() };
    prepare(&create, &Settings::default(), &Log::new(&create));
    assert!(bundle::read(file.path()).unwrap().contains("GOMEMLIMIT"));
    assert!(!bundle::read(&other.path().join(bundle::CONFIG)).unwrap().contains("GOMEMLIMIT"));
    for text in ["", "{", "{}", r#"{"process":{"args":[]}}"#] {
        let bundle = tempdir().unwrap();
        fs::write(bundle.path().join("config.json"), text).unwrap();
        assert_eq!(edit(&bundle), text);
        assert_eq!(fs::read_dir(bundle.path()).unwrap().count(), 1);
    }
    assert_eq!(fs::read_to_string(log.path()).unwrap().lines().count(), 4);
}
