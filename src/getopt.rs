//! Takes a command line apart by the rules of POSIX (XBD 12.2) and of GNU's long options. The
//! first operand ends the options, as what follows is another program's. Pure.

use crate::error::Error;
use crate::text::{Fields, Out, Plain, Put, put};
use core::ffi::CStr;

/// An option as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt<'a> {
    /// `-x`, or one of `-xyz`: a single byte.
    Short(&'a [u8]),
    /// `--name` or `--name=value`, without the dashes.
    Long(&'a [u8]),
}

/// As it is written on the command line.
impl Put for Opt<'_> {
    fn put(&self, out: &mut Out) {
        let (dashes, name) = match self {
            Self::Short(name) => ("-", name),
            Self::Long(name) => ("--", name),
        };
        put!(out, dashes, Plain(name));
    }
}

/// A command line that is read from the left.
#[derive(Debug)]
pub struct Parser<'a> {
    /// What has not been looked at.
    arguments: &'a [&'a CStr],
    /// What is behind the last option in its own argument.
    behind: Option<&'a [u8]>,
    last: Opt<'a>,
}

impl<'a> Parser<'a> {
    /// Reads the arguments behind the program's own name.
    #[must_use]
    pub const fn new(arguments: &'a [&'a CStr]) -> Self {
        Self { arguments, behind: None, last: Opt::Short(b"") }
    }

    /// Ends a long option that takes no value.
    ///
    /// # Errors
    /// Where it was given one.
    pub const fn end(&self) -> Result<(), Error<'a>> {
        match (self.last, self.behind) {
            (option @ Opt::Long(_), Some(value)) => Err(Error::UnexpectedValue { option, value }),
            _ => Ok(()),
        }
    }

    /// The next option, if there is another.
    ///
    /// # Errors
    /// Where the last option was given a value that nobody took.
    pub fn option(&mut self) -> Result<Option<Opt<'a>>, Error<'a>> {
        self.end()?;
        let option = match self.behind.take() {
            Some(cluster) => self.short(cluster),
            None => {
                let Some((first, rest)) = self.arguments.split_first() else {
                    return Ok(None);
                };
                match first.to_bytes() {
                    b"--" => {
                        self.arguments = rest;
                        return Ok(None);
                    }
                    [b'-', b'-', long @ ..] => {
                        let mut parts = Fields::new(long, b'=');
                        let name = parts.next().unwrap_or_default();
                        self.arguments = rest;
                        self.behind = parts.rest();
                        Opt::Long(name)
                    }
                    [b'-', cluster @ ..] if !cluster.is_empty() => {
                        self.arguments = rest;
                        self.short(cluster)
                    }
                    _ => return Ok(None),
                }
            }
        };
        self.last = option;
        Ok(Some(option))
    }

    fn short(&mut self, cluster: &'a [u8]) -> Opt<'a> {
        let (name, behind) = cluster.split_at_checked(1).unwrap_or_default();
        self.behind = (!behind.is_empty()).then_some(behind);
        Opt::Short(name)
    }

    /// The value that stands with the last option in one argument, if one does.
    pub const fn attached(&mut self) -> Option<&'a [u8]> {
        self.behind.take()
    }

    /// The value of the last option, which may be the next argument.
    ///
    /// # Errors
    /// Where the command line ends with the option.
    pub fn value(&mut self) -> Result<&'a [u8], Error<'a>> {
        if let Some(value) = self.attached() {
            return Ok(value);
        }
        let (value, rest) = self.arguments.split_first().ok_or(Error::MissingValue(self.last))?;
        self.arguments = rest;
        Ok(value.to_bytes())
    }

    /// What is left when there are no more options.
    #[must_use]
    pub const fn operands(&self) -> &'a [&'a CStr] {
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
        while let Some(option) = parser.option().unwrap() {
            let takes_value = matches!(option, Opt::Short(b"v") | Opt::Long(b"of"));
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
            assert_eq!(parser.option().unwrap(), None);
            assert_eq!(parser.operands(), operands);
        }
    }

    #[test]
    fn a_value_too_many_or_too_few_is_an_error() {
        let mut parser = Parser::new(&[c"--flag=1"]);
        assert_eq!(parser.option().unwrap(), Some(Opt::Long(b"flag")));
        let error = parser.option().unwrap_err();
        assert_eq!(error.text(), "--flag takes no value such as \"1\"");
        let mut parser = Parser::new(&[c"-v"]);
        assert_eq!(parser.option().unwrap(), Some(Opt::Short(b"v")));
        let error = parser.value().unwrap_err();
        assert_eq!(error.text(), "-v takes a value; see loadline --help");
    }
}
