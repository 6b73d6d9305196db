//! Takes a command line apart by the rules of POSIX (XBD 12.2) and of GNU's long options. The
//! first operand ends the options, as what follows is another program's. Pure.

use crate::text::{Fields, Out, Plain, Put, put};
use core::ffi::CStr;

/// An option as it was found: `--name`, or the one byte of `-x` or of one in `-xyz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt<'a>(pub &'a [u8]);

impl Opt<'_> {
    /// Whether a value may follow behind `=` in the same argument.
    #[must_use]
    pub fn is_long(self) -> bool {
        self.0.starts_with(b"--")
    }
}

/// As it is written on the command line.
impl Put for Opt<'_> {
    fn put(&self, out: &mut Out<'_>) {
        put!(out, if self.is_long() { "" } else { "-" }, Plain(self.0));
    }
}

/// A command line that is read from the left. Its strings live as long as the process.
#[derive(Debug)]
pub struct Parser<'a> {
    /// What has not been looked at.
    arguments: &'a [&'static CStr],
    /// What is behind the last option in its own argument.
    behind: Option<&'static [u8]>,
}

impl<'a> Parser<'a> {
    /// Reads the arguments behind the program's own name.
    #[must_use]
    pub const fn new(arguments: &'a [&'static CStr]) -> Self {
        Self { arguments, behind: None }
    }

    /// The next option, if there is another.
    pub fn option(&mut self) -> Option<Opt<'static>> {
        if let Some(cluster) = self.behind.take() {
            return Some(self.short(cluster));
        }
        let (first, rest) = self.arguments.split_first()?;
        let option = match first.to_bytes() {
            b"--" => None,
            long @ [b'-', b'-', ..] => {
                let mut parts = Fields::new(long, b'=');
                let name = parts.next().unwrap_or_default();
                self.behind = parts.rest();
                Some(Opt(name))
            }
            [b'-', cluster @ ..] if !cluster.is_empty() => Some(self.short(cluster)),
            _ => return None,
        };
        self.arguments = rest;
        option
    }

    fn short(&mut self, cluster: &'static [u8]) -> Opt<'static> {
        let (name, behind) = cluster.split_at_checked(1).unwrap_or_default();
        self.behind = (!behind.is_empty()).then_some(behind);
        Opt(name)
    }

    /// The value that stands with the last option in one argument, if one does.
    pub const fn attached(&mut self) -> Option<&'static [u8]> {
        self.behind.take()
    }

    /// The value of the last option, which may be the next argument; none if there is no more.
    pub fn value(&mut self) -> Option<&'static [u8]> {
        self.attached().or_else(|| {
            let (value, rest) = self.arguments.split_first()?;
            self.arguments = rest;
            Some(value.to_bytes())
        })
    }

    /// What is left when there are no more options.
    #[must_use]
    pub const fn operands(&self) -> &'a [&'static CStr] {
        self.arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_alone_in_clusters_and_with_values() {
        let arguments = [
            c"-a",
            c"-bc",
            c"-vx",
            c"-v",
            c"y",
            c"--long",
            c"--of=z=1",
            c"--of",
            c"",
            c"op",
            c"-a",
        ];
        let mut parser = Parser::new(&arguments);
        let mut seen = Vec::new();
        while let Some(option) = parser.option() {
            let takes_value = matches!(option, Opt(b"v" | b"--of"));
            let value = takes_value.then(|| parser.value().unwrap());
            seen.push((option.text(), value.map(|it| core::str::from_utf8(it).unwrap())));
        }
        let seen: Vec<_> = seen.iter().map(|(option, value)| (option.as_str(), *value)).collect();
        let expected = [
            ("-a", None),
            ("-b", None),
            ("-c", None),
            ("-v", Some("x")),
            ("-v", Some("y")),
            ("--long", None),
            ("--of", Some("z=1")),
            ("--of", Some("")),
        ];
        assert_eq!(seen, expected);
        assert_eq!(parser.operands(), [c"op", c"-a"]);
    }

    #[test]
    fn dashes_end_the_options() {
        for (arguments, operands) in [
            (&[c"--", c"-a"][..], &[c"-a"][..]),
            (&[c"-", c"-a"], &[c"-", c"-a"]),
            (&[c""], &[c""]),
            (&[], &[]),
        ] {
            let mut parser = Parser::new(arguments);
            assert_eq!(parser.option(), None);
            assert_eq!(parser.operands(), operands);
        }
    }
}
