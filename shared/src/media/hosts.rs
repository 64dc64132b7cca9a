//! Which addresses media may be downloaded from.

use reqwest::Url;

/// Botpress's own file hosts. Its documentation names none; bots and webchats link to these two.
const BOTPRESS: [&str; 2] = ["files.bpcontent.cloud", "mediafiles.botpress.cloud"];

/// Hosts that files may come from: Botpress's own, and those that an operator adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    names: Vec<String>,
    /// Each with its leading dot.
    suffixes: Vec<String>,
}

/// A host that cannot be put on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host name, alone or after *.")]
pub struct HostError;

impl Hosts {
    /// Botpress's hosts and those of `more`: `files.example` is that host alone, `*.files.example` every host below it.
    ///
    /// # Errors
    ///
    /// [`HostError`] for an IP address, a port, a single label or anything else that is not a host name. A name with
    /// non-ASCII letters must be in its `xn--` form.
    pub fn new(more: impl IntoIterator<Item = String>) -> Result<Self, HostError> {
        let mut hosts = Self { names: BOTPRESS.map(str::to_owned).to_vec(), suffixes: Vec::new() };
        for host in more {
            let host = host.to_ascii_lowercase();
            let name = host.strip_prefix("*.").unwrap_or(&host);
            if !is_host_name(name) {
                return Err(HostError);
            }
            match host.strip_prefix('*') {
                Some(suffix) => hosts.suffixes.push(suffix.to_owned()),
                None => hosts.names.push(host),
            }
        }
        Ok(hosts)
    }

    /// Whether the host `name` (in lower case, as addresses have it) is on the list.
    fn contain(&self, name: &str) -> bool {
        let is_below = |suffix: &String| name.len() > suffix.len() && name.ends_with(suffix.as_str());
        is_host_name(name) && (self.names.iter().any(|host| host == name) || self.suffixes.iter().any(is_below))
    }
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        !label.is_empty() && label.len() <= 63 && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    let labels: Vec<_> = name.split('.').collect();
    // A last label of digits would be (a part of) an IP address.
    let is_name = labels.last().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()));
    name.len() <= 253 && labels.len() > 1 && is_name && labels.into_iter().all(is_label)
}

/// The conditions for an address before any request is made.
#[derive(Clone, Debug)]
pub struct Policy {
    hosts: Hosts,
    #[cfg(any(test, feature = "loopback-media"))]
    loopback: Option<Url>,
}

impl Policy {
    /// `https` on its own port, without credentials, on one of `hosts`.
    pub const fn new(hosts: Hosts) -> Self {
        Self {
            hosts,
            #[cfg(any(test, feature = "loopback-media"))]
            loopback: None,
        }
    }

    /// Adds one server with all its paths: `http://127.0.0.1:<port>`, a sandbox's. Its redirects must stay on that server or
    /// the list.
    #[cfg(any(test, feature = "loopback-media"))]
    #[must_use]
    pub fn and_loopback(self, server: &str) -> Self {
        Self { loopback: Url::parse(server).ok(), ..self }
    }

    pub(super) fn admits(&self, url: &Url) -> bool {
        #[cfg(any(test, feature = "loopback-media"))]
        if self.loopback.as_ref().is_some_and(|server| server.origin() == url.origin()) {
            return true;
        }
        let is_plain = url.username().is_empty() && url.password().is_none();
        // An address with an IP address has no domain.
        let is_listed = url.domain().is_some_and(|name| self.hosts.contain(name));
        // The scheme's own port counts as absent.
        url.scheme() == "https" && url.port().is_none() && is_plain && is_listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(more: &[&str]) -> Result<Hosts, HostError> {
        Hosts::new(more.iter().map(|host| (*host).to_owned()))
    }

    #[test]
    fn a_name_is_itself_alone_and_a_star_is_everything_below() {
        let hosts = hosts(&["Media.Example", "*.cdn.example"]).unwrap();
        for name in
            ["files.bpcontent.cloud", "mediafiles.botpress.cloud", "media.example", "a.cdn.example", "a.b.cdn.example"]
        {
            assert!(hosts.contain(name), "{name}");
        }
        for name in [
            "cdn.example",
            ".cdn.example",
            "a.media.example",
            "evilcdn.example",
            "files.bpcontent.cloud.evil.example",
            "bpcontent.cloud",
            "files.bpcontent.cloud.",
            "",
        ] {
            assert!(!hosts.contain(name), "{name}");
        }
    }

    #[test]
    fn only_host_names_can_be_listed() {
        for host in [
            "*",
            "*.",
            "*.com.",
            "localhost",
            "10.0.0.1",
            "*.0.0.1",
            "[::1]",
            "::1",
            "a..b",
            "-a.example",
            "a-.example",
            "a b.example",
            "a.example:443",
            "https://a.example",
            "a.example/",
            "user@a.example",
            "ä.example",
            "*.*.example",
            "a.*.example",
            "0x7f.1",
        ] {
            assert_eq!(hosts(&[host]), Err(HostError), "{host}");
        }
        assert!(hosts(&["xn--4ca.example", "*.s3.eu-central-1.amazonaws.com"]).is_ok());
    }
}
