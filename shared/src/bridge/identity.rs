//! What an e-mail address says about who a user is.
//!
//! The HITL plugin passes on whatever the bot fills in, unchecked, and makes an address up if it finds none.

use crate::redacted::Redacted;

/// The longest valid mail address.
const MAX_EMAIL_BYTES: usize = 254;

/// The first label of the hosts in made-up addresses.
const NO_REPLY: &str = "no-reply.";

/// The domain of the hosts in made-up addresses.
const BOTPRESS_DOMAIN: &str = ".botpress.com";

/// What scripts write for a variable without a value; in front of a host it is not a name.
const PLACEHOLDERS: [&str; 2] = ["undefined", "null"];

/// Characters that never occur in an unquoted address.
const NOT_IN_ADDRESSES: [char; 13] = ['"', '(', ')', ',', ':', ';', '<', '>', '[', ']', '\\', '{', '}'];

/// Who an e-mail address stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// One user of the bot: the plugin made the address up from their id. The text is the address in lower case.
    Upstream(Redacted),
    /// A mailbox that agents can write to. Several people may share it.
    Mailbox(Redacted),
    /// No identifiable person.
    Unknown,
}

/// Reads an address as the plugin passes it on.
///
/// Source: the HITL plugin, `<upstream user id>@no-reply.<bot id>.botpress.com` where it has no address.
pub fn identify(email: Option<&str>) -> Identity {
    let Some(email) = email.map(str::trim) else { return Identity::Unknown };
    let Some((name, host)) = email.split_once('@') else { return Identity::Unknown };
    let host = host.to_lowercase();
    if email.len() > MAX_EMAIL_BYTES || !is_name(name) || !is_host(&host) {
        return Identity::Unknown;
    }
    match host.starts_with(NO_REPLY) {
        true if host.ends_with(BOTPRESS_DOMAIN) => Identity::Upstream(email.to_lowercase().into()),
        true => Identity::Unknown,
        false => Identity::Mailbox(email.into()),
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !NOT_IN_ADDRESSES.contains(&c);
    !name.is_empty() && name.chars().all(is_plain) && !PLACEHOLDERS.contains(&name.to_lowercase().as_str())
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let fits = label.chars().all(|c| c.is_alphanumeric() || c == '-');
        !label.is_empty() && fits && !label.starts_with('-') && !label.ends_with('-')
    };
    let labels: Vec<_> = host.split('.').collect();
    labels.len() > 1 && labels.iter().all(|label| is_label(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_agents_could_write_to_are_mailboxes() {
        for real in ["no-reply.ann@example.com", "ann@example.com", "a+b@mail.example.co.uk", " Ann@Example.com\n"] {
            assert_eq!(identify(Some(real)), Identity::Mailbox(real.trim().into()), "{real}");
        }
    }

    #[test]
    fn text_that_is_no_address_is_nobody() {
        let long = format!("{}@example.com", "a".repeat(250));
        let texts = [
            "",
            " ",
            "undefined",
            "null",
            "N/A",
            "-",
            "ann",
            "@x.y",
            "ann@",
            "ann@x",
            "ann@.",
            "ann@x.",
            "ann@.x",
            "ann@x..y",
            "a b@x.y",
            "a@b@x.y",
            "Ann <ann@example.com>",
            "mailto:ann@example.com",
            "undefined@undefined",
            "null@example.com",
            "undefined@no-reply.bot-1.botpress.com",
            "a@No-Reply.x.y",
            "ann@exa mple.com",
            "ann@-x.y",
            "{{user.email}}@x.y",
            "ann\u{0}@example.com",
            &long,
        ];
        for text in texts {
            assert_eq!(identify(Some(text)), Identity::Unknown, "{text:?}");
        }
        assert_eq!(identify(None), Identity::Unknown);
    }

    #[test]
    fn a_made_up_address_is_one_user_whatever_its_case() {
        let expected = Identity::Upstream("user_1@no-reply.bot-1.botpress.com".into());
        for made_up in ["user_1@no-reply.bot-1.botpress.com", " User_1@No-Reply.Bot-1.Botpress.com "] {
            assert_eq!(identify(Some(made_up)), expected);
        }
    }
}
