//! Messages in the log of the runtime, in its own formats, or on standard error if it has none.
//!
//! containerd shows the last error of that log if the runtime fails, so ours are warnings, but for the error that
//! the runtime cannot be executed.

use crate::command_line::Create;
use loadline::text::JsonString;
use loadline::units::UtcTime;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::time::SystemTime;

/// Where messages go.
#[derive(Clone, Debug)]
pub struct Log {
    file: Option<&'static [u8]>,
    is_json: bool,
}

impl Log {
    /// The log of a call that creates a container.
    pub const fn new(create: &Create) -> Self {
        Self { file: create.log, is_json: create.logs_json }
    }

    /// Writes a warning. What cannot be written is lost.
    pub fn warn(&self, message: &str) {
        match self.file {
            Some(file) => self.write(file, "warning", message),
            None => crate::warn(message),
        }
    }

    /// Writes an error that ends the call, if there is a log: standard error has it anyway.
    pub fn error(&self, message: &str) {
        if let Some(file) = self.file {
            self.write(file, "error", message);
        }
    }

    fn write(&self, file: &[u8], level: &str, message: &str) {
        // The runtime opens it in the same way.
        let mut options = OpenOptions::new();
        options
            .append(true)
            .create(true)
            .mode(0o644)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        if let Ok(mut file) = options.open(OsStr::from_bytes(file)) {
            let line = line(level, message, self.is_json, SystemTime::now());
            let _ = file.write_all(line.as_bytes());
        }
    }
}

/// A line as logrus writes it, which runc uses.
fn line(level: &str, message: &str, is_json: bool, now: SystemTime) -> String {
    let time = UtcTime(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    let message = format!("loadline-runtime: {message}");
    let message = JsonString(message.as_bytes());
    if is_json {
        format!("{{\"level\":\"{level}\",\"msg\":{message},\"time\":\"{time}\"}}\n")
    } else {
        format!("time=\"{time}\" level={level} msg={message}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_in_the_format_of_the_runtime() {
        let time = SystemTime::UNIX_EPOCH;
        assert_eq!(
            line("warning", "a \"b\"\n", true, time),
            "{\"level\":\"warning\",\"msg\":\"loadline-runtime: a \\\"b\\\"\\u000a\",\
             \"time\":\"1970-01-01T00:00:00.000Z\"}\n"
        );
        assert_eq!(
            line("error", "x", false, time),
            "time=\"1970-01-01T00:00:00.000Z\" level=error msg=\"loadline-runtime: x\"\n"
        );
    }

    #[test]
    fn lines_are_added_to_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let name: &'static [u8] = path.as_os_str().as_bytes().to_vec().leak();
        let log = Log::new(&Create { log: Some(name), ..Create::default() });
        log.warn("one");
        log.error("two");
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.ends_with("msg=\"loadline-runtime: two\"\n"), "{text}");
    }
}
