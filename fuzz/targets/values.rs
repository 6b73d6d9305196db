//! Sizes, durations, quotas, names of signals, and values of Go's variables.

#![no_main]

use libfuzzer_sys::fuzz_target;
use loadline::golang::Release;
use loadline::golang::values::{MAX_GOMEMLIMIT, parse_go_integer, parse_gomemlimit};
use loadline::signal::{SignalName, signal_by_name};
use loadline::text::{Escaped, JsonString, Quoted};
use loadline::units::{Ratio, parse_cpus, parse_duration, parse_integer, parse_size};

fuzz_target!(|text: &[u8]| {
    if let Some(size) = parse_size(text) {
        let _ = size.to_string();
    }
    if let Some(quota) = parse_cpus(text) {
        assert!(quota.rounded_down() <= quota.rounded_up());
        let shown = quota.to_string();
        assert!(parse_cpus(shown.as_bytes()).is_some(), "{shown}");
    }
    let _ = (parse_duration(text), parse_integer(text), Ratio::parse(text));
    if let Some(signal) = signal_by_name(text) {
        assert!((1..=64).contains(&signal));
        let name = SignalName(signal).to_string();
        assert_eq!(signal_by_name(name.as_bytes()), Some(signal), "{name}");
    }

    let releases = [None, Some(Release::parse(b"1.19")), Some(Release::parse(b"1.27"))];
    for release in releases {
        let bytes = parse_gomemlimit(text, release);
        assert!(bytes.is_none_or(|bytes| bytes <= MAX_GOMEMLIMIT));
        let _ = parse_go_integer(text, release);
    }
    let _ = Release::parse(text);

    let shown = Quoted(text).to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    assert!(Escaped(text).to_string().len() <= Escaped::MAX_SHOWN + 64);
    serde_json::from_str::<String>(&JsonString(text).to_string()).unwrap();
});
