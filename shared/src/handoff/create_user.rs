//! `createUser`: a Botpress user of our install for an end user, with a LiveChat customer ready to speak for them.

use std::collections::BTreeMap;

use super::credentials::call;
use super::{Handoff, Result};
use crate::botpress::{Install, NewUser};
use crate::http::cap;
use crate::ids::UserId;
use crate::redacted::Redacted;
use crate::store::Profile;

/// What Botpress keeps of a name.
const MAX_NAME_CHARS: usize = 200;

/// Longer ones are no address of a picture but the picture.
const MAX_URL_BYTES: usize = 2_048;

/// The longest address that mail can have.
const MAX_EMAIL_BYTES: usize = 254;

/// The host part by which the HITL plugin's made-up addresses are known.
const SYNTHETIC_HOST: &str = "no-reply.";

impl Handoff {
    /// Finds or makes the Botpress user for an end user.
    ///
    /// Calls with the same e-mail give the same user, also at the same instant; without an e-mail there is nothing to
    /// recognise a person by, and strangers must not share an identity, so each call makes a user.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error) when Botpress or the table failed. That LiveChat failed is left for the start to say.
    pub async fn create_user(&self, install: &Install, profile: Profile) -> Result<UserId> {
        let tag = match &profile.email {
            Some(email) => format!("user:{}", email.expose().to_lowercase()),
            None => format!("user:{}", super::fresh_holder()),
        };
        let tags = BTreeMap::from([("id".to_owned(), tag)]);
        let picture_url = profile.picture_url.as_ref().map(Redacted::expose);
        let request = NewUser::new(tags, Some(profile.name.expose()), picture_url);
        let (mut bot, ()) = tokio::try_join!(self.as_install(install), self.gates.refresh())?;
        let user = call!(bot.get_or_create_user(&request, &["id"]))?;
        let email = profile.email.filter(|email| is_real(email.expose()));
        let name = cap(profile.name.expose(), MAX_NAME_CHARS).into();
        let picture_url = profile.picture_url.filter(|url| url.expose().len() <= MAX_URL_BYTES);
        let profile = Profile { name, email, picture_url };
        let (stored, ()) =
            tokio::join!(self.table.put_profile(&user.id, &profile), Box::pin(self.prepare_customer(&user.id)));
        stored?;
        Ok(user.id)
    }

    /// Takes the token's issue out of the start, where the user already waits; the start makes up for a failure.
    async fn prepare_customer(&self, user_id: &UserId) {
        let prepared = async {
            let known = self.table.user(user_id).await?.and_then(|user| user.customer);
            self.ensure_customer(user_id, known).await
        };
        if let Err(error) = prepared.await {
            tracing::warn!(error = %error, "the LiveChat customer is not ready yet");
        }
    }
}

/// Whether agents could write to it: LiveChat refuses what is not an address, and a made-up one misleads.
fn is_real(email: &str) -> bool {
    email.rsplit_once('@').is_some_and(|(name, host)| {
        let is_address = !name.is_empty() && !name.contains('@') && host.contains('.') && !host.ends_with('.');
        let is_address = is_address && email.len() <= MAX_EMAIL_BYTES;
        is_address && !email.contains(char::is_whitespace) && !host.to_lowercase().starts_with(SYNTHETIC_HOST)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_agents_could_write_to_are_kept() {
        for real in ["no-reply.ann@example.com", "ann@example.com", "a+b@mail.example.co.uk"] {
            assert!(is_real(real), "{real}");
        }
        for other in
            ["user_1@no-reply.bot-1.botpress.com", "a@No-Reply.x.y", "ann", "@x.y", "ann@x", "a b@x.y", "a@b@x.y", ""]
        {
            assert!(!is_real(other), "{other}");
        }
    }
}
