//! Deletes, anonymizes or withdraws resources that others still refer to. No webhook reports it.

use serde_json::json;

use super::Simulator;
use super::errors::{Error, Kind};
use super::state::Source;

/// How calls that name a deleted chat are refused; the vendor documents the types, not when each is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// As `not_found`.
    NotFound,
    /// As `chat_anonymized`; the customer still has the chat, and can start no other.
    Anonymized,
    /// As `missing_access`.
    MissingAccess,
    /// As `authorization`, which is the answer for the chat of another customer.
    Authorization,
}

impl Gone {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::NotFound, Self::Anonymized, Self::MissingAccess, Self::Authorization];

    const fn kind(self) -> Kind {
        match self {
            Self::NotFound => Kind::NotFound,
            Self::Anonymized => Kind::ChatAnonymized,
            Self::MissingAccess => Kind::MissingAccess,
            Self::Authorization => Kind::Authorization,
        }
    }
}

impl Simulator {
    /// Deletes a chat with everything in it, or anonymizes it.
    ///
    /// # Errors
    ///
    /// `not_found` when there is no such chat.
    pub fn delete_chat(&self, chat_id: &str, gone: Gone) -> Result<(), Error> {
        self.inner.act(Source::Unnamed, |state, step| {
            let chat = state.chat_mut(chat_id)?;
            if let Some(thread) = chat.threads.last_mut() {
                thread.active = false;
            }
            if gone != Gone::Anonymized {
                state.remove_chat(chat_id);
            }
            state.gone_chats.insert(chat_id.to_owned(), gone.kind());
            step.note("chat_deleted", json!({"chat_id": chat_id, "refused_as": gone.kind().name()}));
            Ok(())
        })
    }

    /// Deletes one thread of a chat.
    ///
    /// # Errors
    ///
    /// `not_found` when there is no such chat.
    pub fn delete_thread(&self, chat_id: &str, thread_id: &str) -> Result<(), Error> {
        self.inner.act(Source::Unnamed, |state, step| {
            state.chat_mut(chat_id)?.threads.retain(|thread| thread.id != thread_id);
            step.note("thread_deleted", json!({"chat_id": chat_id, "thread_id": thread_id}));
            Ok(())
        })
    }

    /// Deletes a customer with their chat: tokens no longer work, and cookies are refused with `code`, or without a
    /// code treated as those of a new customer.
    pub fn delete_customer(&self, customer_id: &str, code: Option<&'static str>) {
        let chat_id = self.inner.state().chat_of_customer(customer_id).map(|chat| chat.id.clone());
        if let Some(chat_id) = chat_id {
            // It was found just now.
            let _ = self.delete_chat(&chat_id, Gone::NotFound);
        }
        self.inner.act(Source::Unnamed, |state, step| {
            state.customers.remove(customer_id);
            step.note("customer_deleted", json!({"customer_id": customer_id}));
        });
        if let Some(code) = code {
            self.refuse_cookies(customer_id, code);
        }
    }

    /// From now on the accounts service refuses the cookies of a customer with `code`, such as `invalid_grant`.
    pub fn refuse_cookies(&self, customer_id: &str, code: &'static str) {
        self.inner.state().refused_cookies.insert(customer_id.to_owned(), code);
    }
}
