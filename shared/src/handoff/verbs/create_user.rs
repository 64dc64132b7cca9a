//! `createUser`: a Botpress user of this install for an end user, with a LiveChat customer ready to write on their behalf.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::botpress::{NewUser, User};
use crate::bridge::identity::{Identity, identify};
use crate::clock::Timestamp;
use crate::handoff::vendors::credentials::call;
use crate::handoff::{Handoff, Result, fresh_holder};
use crate::http::cap;
use crate::ids::UserId;
use crate::model::call::{FirstAnswer, SignedCall, Stranger};
use crate::model::message::Utterance;
use crate::model::session::{Install, State};
use crate::model::user::Profile;
use crate::redacted::Redacted;
use crate::telemetry;

/// Botpress's limit for a name.
const MAX_NAME_CHARS: usize = 200;

/// A longer value is not the address of a picture but the picture itself.
const MAX_URL_BYTES: usize = 2_048;

/// A call with the same input within this time repeats the first: longer than a platform takes to call again after a failure, and
/// too short for two people who share a mailbox to matter.
const CALL_REPEAT_WINDOW: Duration = Duration::from_secs(5);

/// An identical call of a person without an address that comes this long after the first is a replay: two people's calls of the same
/// millisecond arrive together.
const TWINS_APART: Duration = Duration::from_secs(10);

/// Represents the user whom the address identifies in the record of a call, which contains no address.
const WHOEVER_HAS_THE_ADDRESS: &str = "address";

impl Handoff {
    /// Finds or creates the Botpress user for a user of the bot.
    ///
    /// The address that the plugin makes up identifies one user of the bot, so all calls with it return one user, even at the same
    /// instant. A real address identifies a mailbox: only calls with equal input within seconds return one user, unless the bot's
    /// author vouches for addresses. Without an address a person cannot be recognised, and each call creates a user.
    ///
    /// A replay of a signed `call` returns the user of the first. Without an address, two identical calls in the same millisecond may come
    /// from two people, who can be told apart if each request has its own trace.
    ///
    /// # Errors
    ///
    /// [`Error`](crate::handoff::Error) when Botpress or the table failed. The start reports a failure of LiveChat.
    pub async fn create_user(&self, install: &Install, profile: Profile, call: Option<&SignedCall>) -> Result<UserId> {
        let identity = identify(profile.email.as_ref().map(Redacted::expose));
        let stranger = stranger(call, self.clock.now());
        let whose = async {
            match &identity {
                Identity::Upstream(_) => Ok((WHOEVER_HAS_THE_ADDRESS.to_owned(), false)),
                Identity::Mailbox(address) => self.whose_mailbox(install, address, &profile).await,
                Identity::Unknown => Ok((stranger.whose.clone(), false)),
            }
        };
        let ((whose, is_one_more), _, answered) =
            tokio::try_join!(whose, self.gates.refresh(), self.first_answer(call))?;
        match answered {
            Some(FirstAnswer::Given(first)) => {
                return self.user_tagged(install, &tag_of(&first, &identity), &profile).await;
            }
            Some(FirstAnswer::Stranger(first)) => match likeness(&first, &stranger) {
                Likeness::Same => return self.user_tagged(install, &tag(&first.whose), &profile).await,
                Likeness::Unclear => {
                    let user_id = self.user_tagged(install, &tag(&first.whose), &profile).await?;
                    self.table.count_upstream_users(&user_id, 2).await?;
                    return Ok(user_id);
                }
                Likeness::Different => {}
            },
            Some(FirstAnswer::Refused(_)) | None => {}
        }
        let user_id = self.user_tagged(install, &tag_of(&whose, &identity), &profile).await?;
        if is_one_more {
            self.table.count_upstream_users(&user_id, 1).await?;
        }
        let email = match &identity {
            Identity::Mailbox(address) => Some(address.clone()),
            Identity::Upstream(_) | Identity::Unknown => None,
        };
        let name = cap(profile.name.expose(), MAX_NAME_CHARS).into();
        let picture_url = profile.picture_url.filter(|url| url.expose().len() <= MAX_URL_BYTES);
        let (profile, kept_until) = (Profile { name, email, picture_url }, self.kept_until(self.clock.now()));
        let (stored, (), ()) = tokio::join!(
            self.table.put_profile(&user_id, &profile, kept_until),
            Box::pin(self.prepare_customer(&user_id)),
            self.remember_answer(call, || match identity {
                Identity::Unknown => FirstAnswer::Stranger(stranger),
                Identity::Upstream(_) | Identity::Mailbox(_) => FirstAnswer::Given(whose),
            })
        );
        stored?;
        Ok(user_id)
    }

    /// Returns the owner of a real address: a new user for each call except repeats; or the user whom the address identifies, if the
    /// bot's author vouches for addresses and that user has no open session. Also returns whether one more user of the bot now shares
    /// the Botpress user, where several can.
    async fn whose_mailbox(&self, install: &Install, address: &Redacted, profile: &Profile) -> Result<(String, bool)> {
        let address = address.expose().to_lowercase();
        let mut whose = fresh_holder();
        if self.config.verified_emails {
            let known = self.user_tagged(install, &tag(&address), profile).await?;
            if !self.has_live_session(&known).await? {
                whose = WHOEVER_HAS_THE_ADDRESS.to_owned();
            }
        }
        // A repeat within the window gets the owner that the first call chose, even if both run at once.
        let asked = Utterance { heard_at: self.clock.now(), source_id: whose };
        let first =
            self.table.first_asked(&digest(install, &address, profile), asked.clone(), CALL_REPEAT_WINDOW).await?;
        let is_one_more = self.config.verified_emails && first == asked;
        Ok((first.source_id, is_one_more))
    }

    async fn has_live_session(&self, user_id: &UserId) -> Result<bool> {
        let Some(session_id) = self.table.user(user_id).await?.and_then(|user| user.session_id) else {
            return Ok(false);
        };
        Ok(self.table.session(&session_id).await?.is_some_and(|session| session.state != State::Closed))
    }

    async fn user_tagged(&self, install: &Install, tag: &str, profile: &Profile) -> Result<UserId> {
        let tags = BTreeMap::from([("id".to_owned(), tag.to_owned())]);
        let picture_url = profile.picture_url.as_ref().map(Redacted::expose);
        let request = NewUser::new(tags, Some(profile.name.expose()), picture_url);
        let mut bot = self.as_install(install).await?;
        let made: Result<User> = call!(bot.get_or_create_user(&request, &["id"]));
        if let Err(error) = &made {
            // A repeated call may act as another user, so the limit is attributed to the install and not to a user.
            self.note_limit(error, &UserId::new(install.install_id.as_str())).await;
        }
        Ok(made?.id)
    }

    /// Issues the customer token now, since the user already waits during the start; the start makes up for a failure.
    async fn prepare_customer(&self, user_id: &UserId) {
        let prepared = async {
            let known = self.table.user(user_id).await?.and_then(|user| user.customer);
            self.ensure_customer(user_id, known).await
        };
        if let Err(error) = prepared.await {
            tracing::warn!(error = %error,
                "the LiveChat customer's token could not be issued in advance; the start issues it");
        }
    }
}

/// Returns the user of a person without an address. It follows from the request, if it is signed and has a trace: the same request gets
/// the same user.
fn stranger(call: Option<&SignedCall>, now: Timestamp) -> Stranger {
    let trace = call.and_then(|call| Some((call, telemetry::traceparent()?)));
    let traced = trace.map(|(call, trace)| fingerprint(&[call.id.as_bytes(), trace.as_bytes()]));
    let is_traced = traced.is_some();
    Stranger { whose: traced.unwrap_or_else(fresh_holder), is_traced, at: now }
}

/// Whether two identical calls of people without an address come from one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    /// One is a replay of the other.
    Same,
    /// They come from two people.
    Different,
    /// It cannot be determined. Both get one user, which has one session at a time: a second person is refused, and neither sees the
    /// other's words.
    Unclear,
}

fn likeness(first: &Stranger, second: &Stranger) -> Likeness {
    if first.whose == second.whose || second.at >= first.at + TWINS_APART {
        Likeness::Same
    } else if first.is_traced && second.is_traced {
        Likeness::Different
    } else {
        Likeness::Unclear
    }
}

/// Returns the tag of the user that `whose` represents in the records of calls, which contain no address.
fn tag_of(whose: &str, identity: &Identity) -> String {
    match identity {
        Identity::Upstream(address) if whose == WHOEVER_HAS_THE_ADDRESS => tag(address.expose()),
        Identity::Mailbox(address) if whose == WHOEVER_HAS_THE_ADDRESS => tag(&address.expose().to_lowercase()),
        _ => tag(whose),
    }
}

/// Returns the tag by which Botpress finds a user of the service again.
fn tag(of: &str) -> String {
    format!("user:{of}")
}

/// Returns a fingerprint of a call's input; the texts cannot be recovered from it.
fn digest(install: &Install, address: &str, profile: &Profile) -> String {
    let picture = profile.picture_url.as_ref().map_or("", Redacted::expose);
    let parts = [install.install_id.as_str(), address, profile.name.expose().trim(), picture];
    fingerprint(&parts.map(str::as_bytes))
}

fn fingerprint(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_without_an_address_are_one_if_their_calls_cannot_be_two_peoples() {
        let at = |seconds: i64| Timestamp::from_unix_millis(seconds * 1_000);
        let stranger =
            |whose: &str, is_traced, seconds| Stranger { whose: whose.to_owned(), is_traced, at: at(seconds) };
        for (second, expected) in [
            (stranger("a", true, 0), Likeness::Same),
            (stranger("b", true, 9), Likeness::Different),
            (stranger("b", true, 10), Likeness::Same),
            (stranger("b", false, 9), Likeness::Unclear),
            (stranger("b", false, 10), Likeness::Same),
        ] {
            assert_eq!(likeness(&stranger("a", true, 0), &second), expected, "{second:?}");
        }
        assert_eq!(likeness(&stranger("a", false, 0), &stranger("b", true, 0)), Likeness::Unclear);
    }
}
