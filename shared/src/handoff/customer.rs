//! Acting as the customer: one LiveChat identity per end user, for life.

use std::time::Duration;

use super::credentials::call;
use super::{Error, Handoff, Result};
use crate::ids::UserId;
use crate::livechat::{self, ChatOverview};
use crate::store::{Customer, Session};

/// A token is renewed when less than this part of its lifetime is left.
const RENEW_BELOW: u32 = 10;

/// Those who share a limit of LiveChat's accounts service.
const ACCOUNTS: &str = "accounts";

impl Handoff {
    /// The customer who speaks for a user, with a token that is good for a while; minted at the first need.
    pub(super) async fn ensure_customer(&self, user_id: &UserId, known: Option<Customer>) -> Result<Customer> {
        let Some(known) = known else { return self.mint(user_id, None).await };
        let lifetime = known.expires_at.since(known.issued_at);
        if known.expires_at.since(self.clock.now()) > lifetime / RENEW_BELOW {
            return Ok(known);
        }
        match self.renew(user_id, &known).await {
            // An old token still works until it expires; only then does a failed renewal matter.
            Err(error) if known.expires_at > self.clock.now() => {
                tracing::warn!(error = %error, "a customer token could not be renewed early");
                Ok(known)
            }
            renewed => renewed,
        }
    }

    /// Whether a session can no longer be served as `error` came from LiveChat: its customer is lost, or its chat is gone.
    ///
    /// Several codes of LiveChat's can mean that and something else, so the customer is asked what chat they have.
    pub(super) async fn is_out_of_reach(&self, session: &Session, error: &Error) -> Result<bool> {
        match error {
            Error::CustomerLost => Ok(true),
            Error::LiveChat(error) if error.is_gone() => Ok(!self.has_open_thread(session).await?),
            // It may be of these cookies or of all that we ask for: whether somebody new gets a token tells.
            Error::LiveChat(error) if error.is_refused_token() => Ok(self.issue_token(None).await.is_ok()),
            _ => Ok(false),
        }
    }

    /// Whether the session's thread is open, as its customer sees it.
    async fn has_open_thread(&self, session: &Session) -> Result<bool> {
        let customer = self.table.user(&session.user_id).await?.and_then(|user| user.customer);
        let (Some(thread), Some(customer)) = (&session.thread, customer) else { return Ok(false) };
        let listed = async {
            let customer = self.ensure_customer(&session.user_id, Some(customer)).await?;
            let mut customer = self.as_customer(&session.user_id, customer);
            call!(customer.list_chats())
        };
        let is_open = |chat: &ChatOverview| {
            chat.active && chat.id == thread.chat_id && chat.last_thread_id.as_ref() == Some(&thread.thread_id)
        };
        match listed.await {
            Ok(chats) => Ok(chats.iter().any(is_open)),
            Err(Error::CustomerLost) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A new token for the same customer; of several at once, one is stored and all use that.
    pub(super) async fn renew(&self, user_id: &UserId, known: &Customer) -> Result<Customer> {
        let issued = match self.issue_token(Some(&known.cookies)).await {
            Err(Error::LiveChat(error)) if error.is_lost_customer() => return Err(Error::CustomerLost),
            issued => issued?,
        };
        if issued.customer_id != known.customer_id {
            return Err(Error::CustomerLost);
        }
        let cookies = issued.cookies.clone().unwrap_or_else(|| known.cookies.clone());
        Ok(self.table.put_customer(user_id, Some(known), self.customer_of(issued, cookies)).await?)
    }

    /// A customer that nobody has been before; `lost` is the one it replaces.
    pub(super) async fn mint(&self, user_id: &UserId, lost: Option<&Customer>) -> Result<Customer> {
        let issued = self.issue_token(None).await?;
        let cookies = issued.cookies.clone().ok_or_else(|| {
            Error::Refused("LiveChat issued a customer token without the cookies that renew it.".to_owned())
        })?;
        Ok(self.table.put_customer(user_id, lost, self.customer_of(issued, cookies)).await?)
    }

    async fn issue_token(&self, cookies: Option<&livechat::Cookies>) -> Result<livechat::IssuedToken> {
        let mut passed = self.gates.livechat.door(ACCOUNTS).pass().await?;
        fail_point!(Before, "vendor issue_customer_token");
        let issued = passed.answer(self.livechat.issue_customer_token(cookies)).await;
        fail_point!(After, "vendor issue_customer_token");
        passed.note(issued?).await
    }

    fn customer_of(&self, issued: livechat::IssuedToken, cookies: livechat::Cookies) -> Customer {
        let now = self.clock.now();
        Customer {
            customer_id: issued.customer_id,
            cookies,
            access_token: issued.access_token,
            issued_at: now,
            expires_at: now + issued.expires_in.max(Duration::from_secs(1)),
        }
    }
}
