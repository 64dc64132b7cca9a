//! Acting as the customer: one LiveChat identity per end user, for life.

use std::time::Duration;

use super::{Error, Handoff, Result};
use crate::ids::UserId;
use crate::livechat;
use crate::store::Customer;

/// A token is renewed when less than this part of its lifetime is left.
const RENEW_BELOW: u32 = 10;

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

    /// A new token for the same customer; of several at once, one is stored and all use that.
    pub(super) async fn renew(&self, user_id: &UserId, known: &Customer) -> Result<Customer> {
        let issued = self.issue_token(Some(&known.cookies)).await?;
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
        let called_at = self.gates.livechat.pass()?;
        fail_point!(Before, "vendor issue_customer_token");
        let issued = self.livechat.issue_customer_token(cookies).await;
        fail_point!(After, "vendor issue_customer_token");
        self.gates.livechat.note(called_at, issued).await
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
