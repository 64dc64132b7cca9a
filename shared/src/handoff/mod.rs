//! The handoff itself: the handling of each call from a bot platform or LiveChat.
//!
//! The modules, each of which uses only those before it:
//!
//! - `vendors`: how a vendor is called, with which credential, and when it must not be called.
//! - `auth`: checks who the caller is.
//! - `inbox`: makes an item durable in its lane.
//! - `delivery`: the holder of a lane's lease delivers its items; one module for each bot platform.
//! - `session`: how a session begins and ends.
//! - `upkeep`: work that is due without a call: the sweep, timers, reconciliation.
//! - `verbs`: the callers' operations, one file each.
//!
//! Three types hold what the modules work with, each inside the next: [`Vendors`] (the vendors' clients, the table, the clock), [`Inbox`],
//! and [`Handoff`]. A module of `vendors` or `inbox` adds its methods to the type of its own name, so it cannot call those above it.
//!
//! `Box::pin` stands where a module awaits a large future of another. Without it, a verb's future contains the futures of everything that
//! it can lead to, some twenty deep: the compiler fails to prove that it is `Send`, and its size counts once for each caller on the
//! stack.
//!
//! One place decides what an event means ([`decide`](crate::bridge::decide)), one place delivers (`delivery::drain`).

mod auth;
mod delivery;
mod error;
mod inbox;
mod session;
mod upkeep;
mod vendors;
mod verbs;

pub use auth::{BotcopyProof, BotpressProof, Lack, Rejection};
pub use error::{Error, Result};
pub use inbox::Inbox;
pub use session::request::StartRequest;
pub use upkeep::sweep::Swept;
pub use vendors::Vendors;
pub use verbs::availability::{Availability, Status};
pub use verbs::operate::{Closed, Redriven};
pub use verbs::rate::{RateRequest, Rated};
pub use verbs::receive::Received;
pub use verbs::register::Repaired;
pub use verbs::report::{Report, ReportRequest};

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client as DynamoDb;

use crate::background::Background;
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Config};
use crate::http::{self, Http};
use crate::media::{Fetcher, Policy};
use crate::metrics::Metrics;
use crate::model::lane::Lease;
use crate::odd::Reporter;
use crate::store::Table;
use crate::{aws, botpress, livechat, secrets};

/// How long a vendor may take for one call that is safe to repeat.
const VENDOR_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a vendor may take for a call that must happen once, as far as its caller's deadline allows: LiveChat works on a call for up
/// to 15 s, and an answer leaves no doubt about its outcome.
const LONGEST_CALL: Duration = Duration::from_secs(15);

/// Time to record an answer.
const NOTE_TIME: Duration = Duration::from_millis(500);

/// Time that a delivery may need: a call that times out, and its record. Together with the settle time it must stay below the ten seconds
/// that LiveChat waits, or every first message of an agent would be left to the sweep.
const DELIVERY_TIME: Duration = Duration::from_millis(5_500);

/// How much longer a lease lasts than its holder's deadline: a delivery that began in time may make four calls.
const LEASE_MARGIN: Duration = Duration::from_secs(20);

/// Everything a verb needs, built once per process; copies share it.
#[derive(Clone, Debug)]
pub struct Handoff {
    inbox: Arc<Inbox>,
    media: Arc<Fetcher>,
    peeks: Arc<verbs::botcopy::Peeks>,
    doors: Arc<auth::doors::Doors>,
}

impl Deref for Handoff {
    type Target = Inbox;

    fn deref(&self) -> &Inbox {
        &self.inbox
    }
}

impl Handoff {
    /// Builds the clients from a Lambda function's environment; makes no network call.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn new(config: Config, clock: Clock) -> std::result::Result<Self, StartError> {
        let (dynamodb, secrets_manager) = aws::of_function(config::environment)?;
        let metrics = Metrics::to_log(config.stack_name.clone(), config.monitoring);
        let media = Policy::new(config.media_hosts.clone());
        let secrets = secrets::Cache::new(secrets_manager, config.secret_id.clone(), clock.clone());
        Self::with_parts(config, clock, dynamodb, secrets, metrics, media)
    }

    /// Builds the vendor clients around the given table's client, credentials and policy for file sources, for instance those of a
    /// sandbox.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_parts(
        config: Config,
        clock: Clock,
        dynamodb: DynamoDb,
        secrets: secrets::Cache,
        metrics: Metrics,
        media: Policy,
    ) -> std::result::Result<Self, StartError> {
        let tls = http::tls().map_err(http::BuildError::from)?;
        let reporter = Reporter::new(clock.clone(), metrics.clone());
        let http = Http::with_tls(VENDOR_TIMEOUT, tls.clone())?.reporting(reporter.clone());
        let table = Table::new(dynamodb, config.table_name.clone(), clock.clone());
        let recall = secrets.recall();
        let vendors = Vendors {
            secrets,
            livechat: livechat::Client::new(config.livechat.clone(), http.clone()),
            botpress: botpress::Client::new(config.botpress.clone(), http.clone()),
            botcopy: crate::botcopy::Client::new(config.botcopy.clone(), http),
            gates: vendors::limits::Gates::new(&clock, &table, &metrics, recall),
            groups: vendors::groups::Groups::default(),
            background: Background::default(),
            table,
            config,
            clock,
            metrics,
            reporter,
        };
        Ok(Self {
            inbox: Arc::new(Inbox::new(vendors)),
            media: Arc::new(Fetcher::new(media, tls)?),
            peeks: Arc::default(),
            doors: Arc::default(),
        })
    }
}

/// Why the clients could not be built.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The AWS clients.
    #[error(transparent)]
    Aws(#[from] aws::Error),
    /// The vendor clients' connector.
    #[error("the vendor connector cannot be built")]
    Http(#[from] crate::http::BuildError),
}

/// A unique value that identifies the holder of a claim or a lease.
fn fresh_holder() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A lease that lasts for the rest of the invocation.
fn lease_until(deadline: Timestamp) -> Lease {
    Lease { holder: fresh_holder(), until: deadline + LEASE_MARGIN, deadline }
}
