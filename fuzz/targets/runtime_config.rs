//! The configuration of a container, as loadline-runtime edits it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use loadline_runtime::bundle::Config;

const ADDED: &str = "GOMEMLIMIT=335544320";

fuzz_target!(|text: &str| {
    let Ok(config) = Config::parse(text) else { return };
    let _ = config.mounts();
    let Ok(Some(command)) = config.command() else { return };
    let mut env: Vec<_> = command.env.iter().map(|(_, json)| (*json).to_owned()).collect();
    env.push(format!("\"{ADDED}\""));
    let edited = config.edited(text, &env, None).unwrap();
    let again = Config::parse(&edited).unwrap();
    let new = again.command().unwrap().unwrap();
    assert_eq!((&new.args, &new.cwd), (&command.args, &command.cwd));
    let entries = |command: &loadline_runtime::bundle::Command<'_>| -> Vec<String> {
        command.env.iter().map(|(entry, _)| entry.clone()).collect()
    };
    let mut expected = entries(&command);
    expected.push(ADDED.to_owned());
    assert_eq!(entries(&new), expected);
});
