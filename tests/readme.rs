//! The tests, or the suites of `make test`, run every command of the README.

use super::support::Init;
use std::process::Command;

const README: &str = include_str!("../README.md");
const SUITES: &str = include_str!("run.py");

/// The fenced blocks of a language, as lines.
fn blocks(language: &str) -> Vec<Vec<&'static str>> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while lines.any(|line| line.strip_prefix("```") == Some(language)) {
        blocks.push(lines.by_ref().take_while(|line| *line != "```").collect());
    }
    blocks
}

#[test]
fn console_examples_show_the_real_output() {
    let artifact = Init::under_test().path;
    let directory = artifact.parent().unwrap().display();
    let mut commands = 0;
    for block in blocks("console") {
        let (command, expected) = block.split_first().unwrap();
        let command = command.strip_prefix("$ ").unwrap();
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_clear()
            .env("PATH", format!("{directory}:/usr/bin:/bin"))
            .output()
            .unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = output.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{command}: {output}");
        for (line, expected) in lines.into_iter().zip(expected) {
            // `...` stands for the rest of a line that differs from run to run.
            match expected.strip_suffix("...") {
                Some(begin) => assert!(line.starts_with(begin), "{command}: {output}"),
                None => assert_eq!(line, *expected, "{command}"),
            }
        }
        commands += 1;
    }
    assert_ne!(commands, 0);
}

#[test]
fn commands_of_the_readme_are_run_by_the_suites() {
    let commands: Vec<_> = blocks("sh").into_iter().flatten().collect();
    assert_eq!(commands, ["make demo", "make test"], "the two commands");
    assert!(SUITES.contains("\"make demo GO="));
    assert!(README.contains("`make release`") && SUITES.contains("\"make release\""));
}
