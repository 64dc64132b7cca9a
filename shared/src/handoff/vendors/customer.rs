//! Acting as the customer: one LiveChat identity per end user, for life.

use std::time::Duration;

use super::Vendors;
use super::credentials::call;
use super::limits::{Door, Kind};
use crate::handoff::{Error, Result};
use crate::ids::UserId;
use crate::livechat::{self, ChatOverview};
use crate::model::session::Session;
use crate::model::user::{Cookies, Customer, User};

/// A token is renewed when less than this fraction of its lifetime is left.
const RENEW_BELOW: u32 = 10;

/// The party that shares a limit of LiveChat's accounts service.
const ACCOUNTS: &str = "accounts";

/// All customers share a limit, although each has a token.
const CUSTOMERS: &str = "customers";

/// A LiveChat customer, on behalf of an end user.
#[derive(Clone, Debug)]
pub(crate) struct AsCustomer<'a> {
    vendors: &'a Vendors,
    user_id: &'a UserId,
    pub(crate) customer: Customer,
    renewed: bool,
}

impl<'a> AsCustomer<'a> {
    pub(crate) fn api(&self) -> livechat::Customer<'_> {
        self.vendors.livechat.customer(&self.customer.access_token)
    }

    pub(crate) const fn door(&self) -> Door<'a> {
        self.vendors.gates.livechat.door(CUSTOMERS)
    }

    pub(crate) async fn renew(&mut self) -> Result<bool> {
        let first = !std::mem::replace(&mut self.renewed, true);
        if first {
            self.customer = Box::pin(self.vendors.renew(self.user_id, &self.customer)).await?;
        }
        Ok(first)
    }
}

impl Vendors {
    /// The customer who represents a user, with a token that is valid for a while; created when first needed.
    pub(crate) async fn ensure_customer(&self, user_id: &UserId, known: Option<Customer>) -> Result<Customer> {
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

    /// Whether `error` from LiveChat means that a session can no longer be served: its customer is lost, or its chat no longer exists.
    ///
    /// Several LiveChat codes can mean that or something else, so the customer's chats are listed.
    pub(crate) async fn is_out_of_reach(&self, session: &Session, error: &Error) -> Result<bool> {
        match error {
            Error::CustomerLost => Ok(true),
            Error::LiveChat(error) if error.is_gone() => Ok(!self.has_open_thread(session).await?),
            // LiveChat may refuse these cookies or every request: a token for a new customer shows which.
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

    /// A new token for the same customer; of several concurrent ones, one is stored and all callers use it.
    pub(crate) async fn renew(&self, user_id: &UserId, known: &Customer) -> Result<Customer> {
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

    /// A new customer; `lost` is the one it replaces.
    pub(crate) async fn mint(&self, user_id: &UserId, lost: Option<&Customer>) -> Result<Customer> {
        let issued = self.issue_token(None).await?;
        let cookies = issued.cookies.clone().ok_or_else(|| {
            Error::Refused("LiveChat issued a customer token without the cookies that renew it.".to_owned())
        })?;
        Ok(self.table.put_customer(user_id, lost, self.customer_of(issued, cookies)).await?)
    }

    async fn issue_token(&self, cookies: Option<&Cookies>) -> Result<livechat::IssuedToken> {
        let mut passed = self.gates.livechat.door(ACCOUNTS).pass("issue_customer_token", Kind::Repeatable).await?;
        fail_point!(Before, "vendor issue_customer_token");
        let issued = passed.answer(self.livechat.issue_customer_token(cookies)).await;
        fail_point!(After, "vendor issue_customer_token");
        passed.note(issued?).await
    }

    fn customer_of(&self, issued: livechat::IssuedToken, cookies: Cookies) -> Customer {
        let now = self.clock.now();
        Customer {
            customer_id: issued.customer_id,
            cookies,
            access_token: issued.access_token,
            issued_at: now,
            expires_at: now + issued.expires_in.max(Duration::from_secs(1)),
        }
    }

    pub(crate) const fn as_customer<'a>(&'a self, user_id: &'a UserId, customer: Customer) -> AsCustomer<'a> {
        AsCustomer { vendors: self, user_id, customer, renewed: false }
    }

    /// The customer who represents a user; a new one if LiveChat no longer knows the old one.
    pub(crate) async fn customer_for<'a>(&'a self, user: &'a User) -> Result<AsCustomer<'a>> {
        let customer = match self.ensure_customer(&user.user_id, user.customer.clone()).await {
            Err(error) if user.customer.is_some() && may_be_lost(&error) => {
                self.mint(&user.user_id, user.customer.as_ref()).await?
            }
            known => known?,
        };
        Ok(self.as_customer(&user.user_id, customer))
    }

    /// A new customer if `error` says, or may say, that LiveChat no longer knows the old one. If it means something else, LiveChat
    /// refuses the new one too.
    pub(crate) async fn replaced<'a>(
        &'a self,
        user: &'a User,
        lost: &AsCustomer<'_>,
        error: Error,
    ) -> Result<AsCustomer<'a>> {
        if !may_be_lost(&error) {
            return Err(error);
        }
        tracing::warn!(error = %error, "LiveChat no longer has a customer; a new one is created");
        let minted = self.mint(&user.user_id, Some(&lost.customer)).await?;
        Ok(self.as_customer(&user.user_id, minted))
    }
}

/// Whether LiveChat may no longer know the customer whose token it refused.
pub(crate) fn may_be_lost(error: &Error) -> bool {
    match error {
        Error::CustomerLost => true,
        Error::LiveChat(error) => error.is_refused_token(),
        _ => false,
    }
}
