//! Fields that are not as documented: counted, and logged by their place.

use crate::clock::Clock;
use crate::metrics::{About, Metric, Metrics};

/// The places of a document that are not as documented, such as `thread.events[3].text`; never their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OddFields(Vec<String>);

impl OddFields {
    /// Wraps these places.
    pub(crate) const fn new(places: Vec<String>) -> Self {
        Self(places)
    }

    /// Whether everything was as documented.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many places were noted.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// The places, in reading order.
    pub fn places(&self) -> &[String] {
        &self.0
    }
}

/// Where odd fields are reported; clones report to the same place.
#[derive(Clone, Debug)]
pub struct Reporter {
    clock: Clock,
    metrics: Metrics,
}

impl Reporter {
    /// Reports to the log and to these metrics.
    pub const fn new(clock: Clock, metrics: Metrics) -> Self {
        Self { clock, metrics }
    }

    /// Reports the odd fields in `document` of `vendor`, such as an answer of `get_chat`; never their values.
    pub fn report(&self, vendor: &'static str, document: &str, odd: &OddFields) {
        if odd.is_empty() {
            return;
        }
        tracing::warn!(vendor, document, fields = odd.places().join(", "), "fields are not as documented");
        let number = u32::try_from(odd.len()).unwrap_or(u32::MAX);
        self.metrics.record(&self.clock, &About::Vendor(vendor), &[(Metric::OddFields, f64::from(number))]);
    }
}
