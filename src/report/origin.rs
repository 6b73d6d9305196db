//! When and where a line of JSON was written, so that a log pipeline can join it with others.

use super::json::OrNull;
use crate::text::JsonString;
use crate::units::UtcTime;
use core::fmt::{self, Display, Formatter};
use core::time::Duration;

/// When and where a line was written.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// When: the time since the beginning of 1970, if it is known.
    pub time: Option<Duration>,
    /// Where.
    pub identity: Identity<'a>,
}

/// What identifies a container, as far as its environment tells: container engines set `HOSTNAME`, and
/// manifests of Kubernetes may set the others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity<'a>([Option<&'a [u8]>; 4]);

/// The keys, and the variables with their values.
const IDENTITY: [(&str, &str); 4] = [
    ("hostname", "HOSTNAME"),
    ("pod", "POD_NAME"),
    ("namespace", "POD_NAMESPACE"),
    ("container", "CONTAINER_NAME"),
];

/// The longest name in Kubernetes and in DNS (RFC 1123). What is longer identifies nothing.
const MAX_NAME: usize = 253;

impl<'a> Identity<'a> {
    /// The identity by the variables that `lookup` finds.
    #[must_use]
    pub fn new(lookup: &dyn Fn(&str) -> Option<&'a [u8]>) -> Self {
        Self(IDENTITY.map(|(_, name)| lookup(name).filter(|value| value.len() <= MAX_NAME)))
    }
}

/// The first members of an object, with a comma after each.
impl Display for Origin<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.time {
            Some(time) => write!(f, "\"time\":\"{}\",", UtcTime(time))?,
            None => f.write_str("\"time\":null,")?,
        }
        for ((key, _), value) in IDENTITY.iter().zip(self.identity.0) {
            write!(f, "\"{key}\":{},", OrNull(value.map(JsonString)))?;
        }
        Ok(())
    }
}
