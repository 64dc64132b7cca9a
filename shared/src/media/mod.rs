//! Files that users send, downloaded from the bot platform.
//!
//! The addresses come from whoever talks to the bot, so nothing about them is trusted: only `https`, only hosts on a list,
//! only addresses of the public internet, checked at every redirect and for the very address of the connection; limits of
//! size and time; no credentials, cookies or referrers. The declared content type is used, and the content is never
//! inspected.
//!
//! All files in a process's memory share a budget, however many lanes are being drained.

mod address;
mod credential;
mod hosts;
mod name;

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use reqwest::dns::Resolve;
use reqwest::{Response, Url};
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use address::{NotPublic, OnlyPublic, SystemResolver};
pub use credential::carries_credential;
pub use hosts::{HostError, Hosts, Policy};
pub use name::Declared;

use crate::http::{BuildError, USER_AGENT};

/// LiveChat's limit ("10 MB").
pub const MAX_BYTES: usize = 10 * 1024 * 1024;

/// The limit for all files in memory at one time: a sixth of a function's memory.
const BUDGET_BYTES: usize = 4 * MAX_BYTES;

/// The time limit of a download; the same as for a vendor's call.
const TIME: Duration = Duration::from_secs(5);

/// How many redirects a download follows.
const MAX_REDIRECTS: usize = 3;

/// A file as it was served.
#[derive(Clone, Debug)]
pub struct Download {
    /// What the server declared about it.
    pub declared: Declared,
    /// The bytes.
    pub content: Bytes,
    /// Their share of the budget, for as long as any copy exists.
    _held: Arc<OwnedSemaphorePermit>,
}

/// Why there is no file. No variant contains the address.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address, or the target of a redirect, is not `https` on a host of the list; nothing was sent there.
    #[error("the address is not https, or its host is not allowed")]
    NotAllowed,
    /// A host of the list has an address that is not on the public internet; nothing was sent there.
    #[error("the host is not on the public internet")]
    NotPublic,
    /// More than [`MAX_BYTES`].
    #[error("the file is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Too many redirects, or one without an address.
    #[error("the address redirects too often")]
    Redirects,
    /// The content is compressed although the request did not allow that.
    #[error("the server compressed the file")]
    Encoded,
    /// A status other than 200.
    #[error("the server answered with status {}", .0.as_u16())]
    Status(StatusCode),
    /// The time limit passed before the last byte arrived.
    #[error("the file did not arrive in time")]
    TimedOut,
    /// Other files use up the memory budget; nothing was sent.
    #[error("too many files are in memory")]
    Crowded,
    /// No connection, or a broken one.
    #[error("the connection failed")]
    Failed(#[source] reqwest::Error),
}

impl Error {
    /// Whether the same download may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotAllowed | Self::NotPublic | Self::TooLarge | Self::Redirects | Self::Encoded => false,
            Self::Status(status) => {
                let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_server_error() || later.contains(status)
            }
            Self::TimedOut | Self::Crowded | Self::Failed(_) => true,
        }
    }

    fn of(error: reqwest::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(error) = cause {
            if error.is::<NotPublic>() {
                return Self::NotPublic;
            }
            cause = error.source();
        }
        Self::Failed(error.without_url())
    }
}

/// Downloads files from hosts on a list.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: reqwest::Client,
    policy: Policy,
    time: Duration,
    budget: Arc<Semaphore>,
}

impl Fetcher {
    /// A fetcher that uses the system's resolver.
    ///
    /// # Errors
    ///
    /// [`BuildError`], which only a change of dependencies can cause.
    pub fn new(policy: Policy, tls: ClientConfig) -> Result<Self, BuildError> {
        Self::with(policy, tls, Arc::new(SystemResolver), TIME)
    }

    fn with(policy: Policy, tls: ClientConfig, resolver: Arc<dyn Resolve>, time: Duration) -> Result<Self, BuildError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(USER_AGENT)
            // The resolver does not see literal addresses; the policy admits none.
            .dns_resolver(OnlyPublic(resolver))
            // A pooled connection was checked when its name may have resolved to another address.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .build()?;
        Ok(Self { client, policy, time, budget: Arc::new(Semaphore::new(BUDGET_BYTES)) })
    }

    /// Downloads the file at `url`, which can be anything. If the budget is used up it waits its turn, for as long as a
    /// download may take.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn fetch(&self, url: &str) -> Result<Download, Error> {
        let url = Url::parse(url).map_err(|_| Error::NotAllowed)?;
        let mut held = self.hold().await?;
        let (declared, content) =
            tokio::time::timeout(self.time, self.follow(url)).await.unwrap_or(Err(Error::TimedOut))?;
        // Most files are far smaller than the limit.
        drop(held.split(MAX_BYTES.saturating_sub(content.len())));
        Ok(Download { declared, content, _held: Arc::new(held) })
    }

    /// Reserves the share of the budget for the largest possible file.
    async fn hold(&self) -> Result<OwnedSemaphorePermit, Error> {
        let most = u32::try_from(MAX_BYTES).unwrap_or(u32::MAX);
        let held = Arc::clone(&self.budget).acquire_many_owned(most);
        tokio::time::timeout(self.time, held).await.ok().and_then(Result::ok).ok_or(Error::Crowded)
    }

    async fn follow(&self, mut url: Url) -> Result<(Declared, Bytes), Error> {
        for _ in 0..=MAX_REDIRECTS {
            if !self.policy.admits(&url) {
                return Err(Error::NotAllowed);
            }
            let request = self.client.get(url.clone()).header(header::ACCEPT_ENCODING, "identity");
            let response = request.send().await.map_err(Error::of)?;
            match response.status() {
                StatusCode::OK => return read(response, &url).await,
                status if status.is_redirection() => url = next(&response, &url).ok_or(Error::Redirects)?,
                status => return Err(Error::Status(status)),
            }
        }
        Err(Error::Redirects)
    }
}

fn next(response: &Response, url: &Url) -> Option<Url> {
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    url.join(location).ok()
}

async fn read(mut response: Response, url: &Url) -> Result<(Declared, Bytes), Error> {
    let is_plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if response.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| !is_plain(encoding)) {
        return Err(Error::Encoded);
    }
    let is_small = |length: u64| usize::try_from(length).is_ok_and(|length| length <= MAX_BYTES);
    // A declared length is only used to refuse; the received bytes are counted.
    if response.content_length().is_some_and(|length| !is_small(length)) {
        return Err(Error::TooLarge);
    }
    let declared = Declared::new(response.headers(), url);
    let mut content = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Error::of)? {
        if content.len() + chunk.len() > MAX_BYTES {
            return Err(Error::TooLarge);
        }
        content.extend_from_slice(&chunk);
    }
    Ok((declared, content.freeze()))
}

#[cfg(test)]
mod tests;
