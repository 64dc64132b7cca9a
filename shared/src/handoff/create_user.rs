//! `createUser`: a Botpress user of our install for an end user, with a LiveChat customer ready to speak for them.

use std::collections::BTreeMap;

use super::credentials::call;
use super::{Handoff, Result};
use crate::botpress::{Install, NewUser};
use crate::ids::UserId;
use crate::store::Profile;

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
        let request = NewUser {
            tags: BTreeMap::from([("id".to_owned(), tag)]),
            name: Some(profile.name.expose().to_owned()),
            picture_url: profile.picture_url.as_ref().map(|url| url.expose().to_owned()),
        };
        let (mut bot, ()) = tokio::try_join!(self.as_install(install), self.gates.refresh())?;
        let user = call!(bot.get_or_create_user(&request, &["id"]))?;
        let email = profile.email.filter(|email| !is_synthetic(email.expose()));
        let profile = Profile { email, ..profile };
        self.table.put_profile(&user.id, &profile).await?;
        self.prepare_customer(&user.id).await;
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

fn is_synthetic(email: &str) -> bool {
    email.rsplit_once('@').is_some_and(|(_, host)| host.to_lowercase().starts_with(SYNTHETIC_HOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_addresses_are_recognised_by_their_host() {
        assert!(is_synthetic("user_1@no-reply.bot-1.botpress.com"));
        assert!(!is_synthetic("no-reply.ann@example.com"));
        assert!(!is_synthetic("ann@example.com"));
        assert!(!is_synthetic("ann"));
    }
}
