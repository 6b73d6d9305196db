use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// Strange, but valid.
const CONFIG_TEXT: &str = r#"{ "ociVersion":"1.0.2", "unknown": {"n": 123456789012345678901234567890.50, "s":"\ud83d\ude00"},
  "process": {"cwd": "/app", "env" : [ "PATH=/bin" , "A=\u0031",  "GOMEMLIMIT=1"], "args":["/a b","c"]},
  "mounts": [{"destination":"/dev","type":"tmpfs"}],
  "root":{"path":"rootfs"} }
"#;

fn config(text: &str) -> Config<'_> {
    Config::parse(text).unwrap()
}

#[test]
fn the_command_is_read_as_the_container_gets_it() {
    let command = config(CONFIG_TEXT).command().unwrap().unwrap();
    assert_eq!(command.args, ["/a b", "c"]);
    assert_eq!(command.cwd, "/app");
    let entries: Vec<_> = command.env.iter().map(|(entry, json)| (entry.as_str(), *json)).collect();
    assert_eq!(
        entries,
        [
            ("PATH=/bin", r#""PATH=/bin""#),
            ("A=1", r#""A=\u0031""#),
            ("GOMEMLIMIT=1", r#""GOMEMLIMIT=1""#)
        ]
    );
}

#[test]
fn all_but_the_environment_stays_byte_for_byte() {
    let env = [r#""A=\u0031""#.to_owned(), r#""GOMEMLIMIT=2""#.to_owned()];
    let edited = config(CONFIG_TEXT).edited(CONFIG_TEXT, &env, None).unwrap();
    let expected = CONFIG_TEXT.replace(
        r#"[ "PATH=/bin" , "A=\u0031",  "GOMEMLIMIT=1"]"#,
        r#"["A=\u0031","GOMEMLIMIT=2"]"#,
    );
    assert_eq!(edited, expected);
    assert_ne!(edited, CONFIG_TEXT);
}

#[test]
fn an_environment_is_added_if_there_is_none() {
    let text = r#"{"process":{ "args":["a"]}}"#;
    let edited = config(text).edited(text, &[r#""B=1""#.to_owned()], None).unwrap();
    assert_eq!(edited, r#"{"process":{"env":["B=1"], "args":["a"]}}"#);
    // A second `env` would be the one that counts.
    for empty in ["[]", "null"] {
        let text = &format!(r#"{{"process":{{"env":{empty},"args":["a"]}}}}"#);
        assert_eq!(config(text).command().unwrap().unwrap().env, []);
        let edited = config(text).edited(text, &[r#""B=1""#.to_owned()], None).unwrap();
        assert_eq!(edited, r#"{"process":{"env":["B=1"],"args":["a"]}}"#);
    }
}

#[test]
fn an_init_changes_the_arguments_and_the_mounts() {
    let init = Init {
        args: [r#""/dev/loadline""#, r#""/a b""#].map(str::to_owned).into(),
        mount: r#"{"destination":"/dev/loadline"}"#.to_owned(),
    };
    let edited = config(CONFIG_TEXT).edited(CONFIG_TEXT, &[], Some(&init)).unwrap();
    let expected = CONFIG_TEXT
        .replace(r#"[ "PATH=/bin" , "A=\u0031",  "GOMEMLIMIT=1"]"#, "[]")
        .replace(r#"["/a b","c"]"#, r#"["/dev/loadline","/a b"]"#)
        .replace(r#""type":"tmpfs"}]"#, r#""type":"tmpfs"},{"destination":"/dev/loadline"}]"#);
    assert_eq!(edited, expected);
}

#[test]
fn what_has_no_program_has_no_command() {
    for text in [
        "{}",
        r#"{"process":null}"#,
        r#"{"process":{}}"#,
        r#"{"process":{"args":[]}}"#,
        r#"{"process":{"args":null,"env":null,"cwd":null}}"#,
    ] {
        assert!(config(text).command().unwrap().is_none(), "{text}");
    }
}

#[test]
fn what_is_absurd_is_an_error() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [
        "",
        "null",
        "[]",
        r#"{"process":{"args":["a"]},"process":{"args":["b"]}}"#,
        r#"{"linux":{"cgroupsPath":"/a","cgroupsPath":"/b"}}"#,
        r#"{"linux":{"resources":{"memory":{"limit":"1"}}}}"#,
        r#"{"linux":{"resources":{"memory":{"limit":1e99}}}}"#,
        r#"{"root":{}}"#,
        "{\"process\":{\"args\":[\"a\"]}",
        &deep,
    ] {
        assert!(Config::parse(text).is_err(), "{text:.100}");
    }
    for text in [
        r#"{"process":[]}"#,
        r#"{"process":{"args":"a"}}"#,
        r#"{"process":{"args":[1]}}"#,
        r#"{"process":{"args":["a"],"env":[["A"]]}}"#,
        r#"{"process":{"args":["a"],"args":["b"]}}"#,
    ] {
        assert!(config(text).command().is_err(), "{text}");
    }
    // Nobody needs to understand what is not used.
    let ignored = format!(r#"{{"x":{deep},"process":{{"args":["a"]}}}}"#);
    assert!(config(&ignored).command().unwrap().is_some());
}

#[test]
fn the_file_is_replaced_with_its_mode_and_nothing_is_left() {
    let bundle = tempfile::tempdir().unwrap();
    let path = bundle.path().join(CONFIG);
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(read(&path).unwrap(), "old");
    write(&path, "new").unwrap();
    assert_eq!(read(&path).unwrap(), "new");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_dir(bundle.path()).unwrap().count(), 1);
    assert!(write(&bundle.path().join("none").join(CONFIG), "").is_err());
    // What was made is removed if it cannot take the place.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(write(&path, "new").is_err());
    assert_eq!(fs::read_dir(bundle.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_too_large_or_no_text_is_an_error() {
    let bundle = tempfile::tempdir().unwrap();
    let path = bundle.path().join(CONFIG);
    File::create(&path).unwrap().set_len(MAX_CONFIG + 1).unwrap();
    assert!(read(&path).unwrap_err().contains("has more than"));
    File::create(&path).unwrap().set_len(100 << 30).unwrap();
    assert!(read(&path).is_err());
    fs::write(&path, b"{\"a\":\"\xff\"}").unwrap();
    assert!(read(&path).unwrap_err().contains("UTF-8"));
    assert!(read(&bundle.path().join("none")).unwrap_err().starts_with("cannot read "));
}
