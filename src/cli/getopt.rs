//! Splits a command line into options, their values and operands, by the rules of POSIX (XBD 12.2)
//! and of GNU's long options, except that the first operand ends the options: what follows it is
//! another program's command line.

use crate::options::OptionName;
use crate::text::split_once;
use core::ffi::CStr;
use core::mem::take;

/// Reads a command line from left to right. It allocates nothing: names and values are slices of
/// the arguments, which live as long as the process.
#[derive(Debug)]
pub struct Parser<'a> {
    /// The arguments that have not been read.
    arguments: &'a [&'static CStr],
    /// The rest of `-xyz` after the option that was returned last: more options, or its value.
    cluster: &'static [u8],
    /// The value in `--name=value`, until it is taken.
    joined: Option<&'static [u8]>,
    /// The argument that was read last as options, or the `--` that ended them.
    last: &'static [u8],
}

impl<'a> Parser<'a> {
    /// Takes the arguments without the name of our own program.
    #[must_use]
    pub const fn new(arguments: &'a [&'static CStr]) -> Self {
        Self { arguments, cluster: b"", joined: None, last: b"" }
    }

    /// The next option; `None` at the first operand, after `--`, or at the end.
    pub fn next_option(&mut self) -> Option<OptionName<'static>> {
        if let Some(option) = self.next_in_cluster() {
            return Some(option);
        }
        let (first, rest) = self.arguments.split_first()?;
        match first.to_bytes() {
            b"--" => {
                self.arguments = rest;
                self.last = b"--";
                None
            }
            long @ [b'-', b'-', ..] => {
                self.arguments = rest;
                self.last = long;
                let (name, joined) = match split_once(long, b'=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                };
                self.joined = joined;
                Some(OptionName(name))
            }
            // A `-` alone is an operand.
            short @ [b'-', cluster @ ..] if !cluster.is_empty() => {
                self.arguments = rest;
                self.last = short;
                self.cluster = cluster;
                self.next_in_cluster()
            }
            _ => None,
        }
    }

    fn next_in_cluster(&mut self) -> Option<OptionName<'static>> {
        let (letter, rest) = self.cluster.split_at_checked(1)?;
        self.cluster = rest;
        Some(OptionName(letter))
    }

    /// Takes the value in `--name=value`.
    pub const fn joined_value(&mut self) -> Option<&'static [u8]> {
        self.joined.take()
    }

    /// Takes the value of an option that requires one: `-xvalue`, `--name=value`, or the next
    /// argument. `None` if there is no next argument.
    pub fn required_value(&mut self) -> Option<&'static [u8]> {
        if !self.cluster.is_empty() {
            return Some(take(&mut self.cluster));
        }
        self.joined_value().or_else(|| {
            let (value, rest) = self.arguments.split_first()?;
            self.arguments = rest;
            Some(value.to_bytes())
        })
    }

    /// The whole argument that was read last as options, `-xyz` or `--name=value`, or the `--` that
    /// ended them.
    #[must_use]
    pub const fn last_argument(&self) -> &'static [u8] {
        self.last
    }

    /// What has not been read: the operands, once there are no more options.
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
        while let Some(option) = parser.next_option() {
            let takes_value = matches!(option, OptionName(b"v" | b"--of"));
            let value = takes_value.then(|| parser.required_value().unwrap());
            seen.push((option.to_string(), value.map(|it| core::str::from_utf8(it).unwrap())));
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
        for (arguments, operands, last) in [
            (&[c"--", c"-a"][..], &[c"-a"][..], &b"--"[..]),
            (&[c"-", c"-a"], &[c"-", c"-a"], b""),
            (&[c""], &[c""], b""),
            (&[], &[], b""),
        ] {
            let mut parser = Parser::new(arguments);
            assert_eq!(parser.next_option(), None);
            assert_eq!(parser.operands(), operands);
            assert_eq!(parser.last_argument(), last);
        }
    }

    #[test]
    fn a_joined_value_belongs_to_one_option() {
        let mut parser = Parser::new(&[c"--of=1", c"--on", c"-x"]);
        assert_eq!(parser.next_option(), Some(OptionName(b"--of")));
        assert_eq!(parser.joined_value(), Some(&b"1"[..]));
        assert_eq!(parser.joined_value(), None);
        assert_eq!(parser.next_option(), Some(OptionName(b"--on")));
        assert_eq!(parser.joined_value(), None);
        assert_eq!(parser.next_option(), Some(OptionName(b"x")));
        assert_eq!(parser.required_value(), None);
    }

    #[test]
    fn the_last_argument_is_that_of_the_option() {
        let mut parser = Parser::new(&[c"-ab", c"--of=1", c"--of", c"2", c"--", c"-x"]);
        let mut seen = Vec::new();
        while let Some(option) = parser.next_option() {
            if option == OptionName(b"--of") {
                parser.required_value();
            }
            seen.push(parser.last_argument());
        }
        assert_eq!(seen, [&b"-ab"[..], b"-ab", b"--of=1", b"--of"]);
        assert_eq!(parser.last_argument(), b"--");
    }
}
