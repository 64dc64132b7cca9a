//! A call to a vendor that did not succeed: the common type of all vendors' errors.

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::{Call, Failure, Refusal};

/// A vendor that is called.
pub trait Vendor: fmt::Debug {
    /// Its name in errors and logs.
    const NAME: &'static str;
}

/// A call to the vendor `V` that did not succeed.
///
/// Each vendor's module interprets the vendor's codes, in methods of its `Error`. The plain form, `{}`, is for the log: the vendor's
/// sentence may quote what people wrote, so only `{:#}` contains it.
#[derive(Debug)]
pub struct CallError<V> {
    call: Call,
    reason: Reason,
    vendor: PhantomData<V>,
}

#[derive(Debug)]
enum Reason {
    /// The vendor answered and refused.
    Refused(Box<Refusal>),
    /// No usable answer came.
    Failed(Failure),
}

impl<V> CallError<V> {
    pub(crate) const fn failed(call: Call, failure: Failure) -> Self {
        Self { call, reason: Reason::Failed(failure), vendor: PhantomData }
    }

    pub(crate) fn of_refusal(call: Call, refusal: Refusal) -> Self {
        Self { call, reason: Reason::Refused(Box::new(refusal)), vendor: PhantomData }
    }

    /// The call.
    pub const fn call(&self) -> Call {
        self.call
    }

    /// The vendor's answer, if one came.
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.reason {
            Reason::Refused(refusal) => Some(refusal),
            Reason::Failed(_) => None,
        }
    }

    /// Why no usable answer came, if none did.
    pub const fn failure(&self) -> Option<&Failure> {
        match &self.reason {
            Reason::Refused(_) => None,
            Reason::Failed(failure) => Some(failure),
        }
    }

    /// How long the vendor asks to wait, at most one hour.
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal()?.retry_after
    }

    /// Whether `refused` holds for the refusal, or `failed` for the failure.
    pub(crate) fn holds(&self, refused: impl FnOnce(&Refusal) -> bool, failed: impl FnOnce(&Failure) -> bool) -> bool {
        match &self.reason {
            Reason::Refused(refusal) => refused(refusal),
            Reason::Failed(failure) => failed(failure),
        }
    }

    /// Whether the vendor gave one of `codes` as its reason.
    pub(crate) fn has_code(&self, codes: &[&str]) -> bool {
        self.refusal().is_some_and(|refusal| refusal.has_code(codes))
    }

    /// Whether the vendor gave `code` as its reason, or no reason and the status `status`.
    pub(crate) fn is(&self, code: &str, status: u16) -> bool {
        self.refusal().is_some_and(|refusal| match &refusal.code {
            Some(actual) => actual == code,
            None => refusal.status.as_u16() == status,
        })
    }
}

impl<V: Vendor> fmt::Display for CallError<V> {
    /// For example `LiveChat refused start_chat: authentication, status 401`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Refused(refusal) => {
                write!(f, "{} refused {}: ", V::NAME, self.call)?;
                // `write!` would not pass the alternate form on.
                fmt::Display::fmt(refusal, f)
            }
            Reason::Failed(failure) => write!(f, "{} did not answer {}: {failure}", V::NAME, self.call),
        }
    }
}

impl<V: Vendor> Error for CallError<V> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            Reason::Refused(_) => None,
            Reason::Failed(failure) => Some(failure),
        }
    }
}
