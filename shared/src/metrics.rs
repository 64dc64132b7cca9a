//! Metrics in CloudWatch's embedded format: a line of the log that CloudWatch turns into data points.
//!
//! `{"_aws": {"Timestamp": 1778492460877, "CloudWatchMetrics": [{"Namespace": "LiveChatHitl", "Dimensions": [["Stack"]],
//! "Metrics": [{"Name": "Delivered", "Unit": "Count"}]}]}, "Stack": "acme", "Lane": "to_bot",
//! "Delivered": 1}`. CloudWatch keeps a series only of what [`Metric::is_series`] names, by `Stack` alone; everything is a field of the
//! line, for Logs Insights.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use crate::clock::{Clock, Timestamp};

/// The namespace of every metric.
pub const NAMESPACE: &str = "LiveChatHitl";

/// All measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Items that became durable in a lane.
    Accepted,
    /// Items that the other side has received.
    Delivered,
    /// Items that no longer had to be delivered.
    Dropped,
    /// Items that can never be delivered and wait for an operator.
    Parked,
    /// Attempts per finished item.
    Attempts,
    /// Milliseconds from the source's own time to the delivery.
    DeliveryDelay,
    /// Age in seconds of a lane's oldest item when the lane had to be left for later.
    UndeliveredAge,
    /// Sessions that became active.
    SessionsStarted,
    /// Starts that were refused or failed.
    StartsFailed,
    /// Sessions that were handed back, by reason.
    SessionsEnded,
    /// Seconds from a session's start until its first agent had the chat; recorded at its end.
    TimeToAssign,
    /// Seconds from a session's start until the user saw an agent's first message; recorded at its end.
    TimeToFirstAnswer,
    /// Seconds from a session's first agent to its end.
    HandleTime,
    /// Calls of a vendor; LiveChat bills all except those that it answers with 500.
    VendorCalls,
    /// Milliseconds that a vendor took to answer.
    VendorLatency,
    /// Calls that a vendor did not answer, or answered with a failure.
    VendorErrors,
    /// Calls that a vendor refused because of our credential.
    CredentialsRefused,
    /// Calls of Botcopy with an event that is missing in its documentation.
    UnknownEvents,
    /// Calls that were turned away, by what they lacked.
    TurnedAway,
    /// Fields of a vendor that are not as documented.
    OddFields,
    /// Runs of the sweep.
    Sweeps,
    /// Lanes, timers and sessions that were due but that a sweep could not work on.
    Stuck,
    /// A code for what is wrong with the stack, as the sweep finds it: 0 is fine.
    Health,
}

/// How many measurements CloudWatch keeps as series, each of which it charges for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Monitoring {
    /// `lean`: the stack's health alone.
    #[default]
    Lean,
    /// `full`: everything that the alarms and the dashboard show.
    Full,
}

impl Metric {
    /// All metrics, for tests that compare documents with the code.
    pub const ALL: [Self; 23] = [
        Self::Accepted,
        Self::Delivered,
        Self::Dropped,
        Self::Parked,
        Self::Attempts,
        Self::DeliveryDelay,
        Self::UndeliveredAge,
        Self::SessionsStarted,
        Self::StartsFailed,
        Self::SessionsEnded,
        Self::TimeToAssign,
        Self::TimeToFirstAnswer,
        Self::HandleTime,
        Self::VendorCalls,
        Self::VendorLatency,
        Self::VendorErrors,
        Self::CredentialsRefused,
        Self::UnknownEvents,
        Self::TurnedAway,
        Self::OddFields,
        Self::Sweeps,
        Self::Stuck,
        Self::Health,
    ];

    /// Whether CloudWatch keeps a series of it; the log contains it in any case.
    pub const fn is_series(self, monitoring: Monitoring) -> bool {
        match (monitoring, self) {
            (_, Self::Health) => true,
            (Monitoring::Lean, _) => false,
            (Monitoring::Full, metric) => matches!(
                metric,
                Self::Accepted
                    | Self::Delivered
                    | Self::Parked
                    | Self::DeliveryDelay
                    | Self::UndeliveredAge
                    | Self::SessionsStarted
                    | Self::StartsFailed
                    | Self::SessionsEnded
                    | Self::VendorErrors
                    | Self::CredentialsRefused
                    | Self::TurnedAway
                    | Self::Sweeps
                    | Self::Stuck
            ),
        }
    }

    /// The name that CloudWatch shows.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::DeliveryDelay | Self::VendorLatency => "Milliseconds",
            Self::UndeliveredAge | Self::TimeToAssign | Self::TimeToFirstAnswer | Self::HandleTime => "Seconds",
            _ => "Count",
        }
    }
}

/// The subject of a value, besides the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The stack as a whole.
    Stack,
    /// One direction: `to_agent` or `to_bot`.
    Lane(String),
    /// One vendor: `LiveChat`, `Botpress` or `Botcopy`.
    Vendor(&'static str),
    /// One call of a vendor; its name is in the line as `Call`.
    Call {
        /// The vendor.
        vendor: &'static str,
        /// The call, such as `start_chat`.
        call: &'static str,
    },
    /// Why a session ended.
    Reason(&'static str),
    /// The vendor that a caller claims to be, and what the call lacks: `Botpress signature`.
    Caller(String),
}

impl About {
    fn dimension(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Stack => None,
            Self::Lane(lane) => Some(("Lane", lane)),
            Self::Vendor(vendor) | Self::Call { vendor, .. } => Some(("Vendor", vendor)),
            Self::Reason(reason) => Some(("Reason", reason)),
            Self::Caller(caller) => Some(("Caller", caller)),
        }
    }
}

/// One recorded value.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The metric.
    pub metric: Metric,
    /// The subject.
    pub about: About,
    /// The value.
    pub value: f64,
}

/// The destination of metrics; copies share it.
#[derive(Clone, Debug)]
pub struct Metrics(Sink);

#[derive(Clone, Debug)]
enum Sink {
    Log { stack: String, monitoring: Monitoring },
    Kept(Arc<Mutex<Vec<Recorded>>>),
}

impl Metrics {
    /// Writes to the function's log, where CloudWatch reads them.
    pub const fn to_log(stack: String, monitoring: Monitoring) -> Self {
        Self(Sink::Log { stack, monitoring })
    }

    /// Keeps them in memory, for tests.
    pub fn kept() -> Self {
        Self(Sink::Kept(Arc::default()))
    }

    /// The values recorded so far, if they are kept.
    pub fn recorded(&self) -> Vec<Recorded> {
        match &self.0 {
            Sink::Log { .. } => Vec::new(),
            Sink::Kept(kept) => kept.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Records values that belong together.
    pub(crate) fn record(&self, clock: &Clock, about: &About, values: &[(Metric, f64)]) {
        match &self.0 {
            Sink::Log { stack, monitoring } => {
                let line = line((stack, *monitoring), clock.now(), about, values);
                // An unwritable log is no reason to fail.
                let _ = writeln!(std::io::stdout().lock(), "{line}");
            }
            Sink::Kept(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let recorded = values.iter();
                kept.extend(recorded.map(|(metric, value)| Recorded {
                    metric: *metric,
                    about: about.clone(),
                    value: *value,
                }));
            }
        }
    }
}

fn line((stack, monitoring): (&str, Monitoring), now: Timestamp, about: &About, values: &[(Metric, f64)]) -> Value {
    let mut members = Map::from_iter([("Stack".to_owned(), json!(stack))]);
    members.extend(about.dimension().map(|(name, value)| (name.to_owned(), json!(value))));
    if let About::Call { call, .. } = about {
        members.insert("Call".to_owned(), json!(call));
    }
    let series = values.iter().filter(|(metric, _)| metric.is_series(monitoring));
    let series: Vec<_> = series.map(|(metric, _)| json!({ "Name": metric.name(), "Unit": metric.unit() })).collect();
    if !series.is_empty() {
        let directive = json!({ "Namespace": NAMESPACE, "Dimensions": [["Stack"]], "Metrics": series });
        members.insert("_aws".to_owned(), json!({ "Timestamp": now.unix_millis(), "CloudWatchMetrics": [directive] }));
    }
    members.extend(values.iter().map(|(metric, value)| (metric.name(), json!(value))));
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_shape_that_cloudwatch_reads() {
        let values = [(Metric::Delivered, 1.0), (Metric::Attempts, 2.0), (Metric::DeliveryDelay, 45.5)];
        let now = Timestamp::from_unix_millis(1_778_492_460_877);
        let about = About::Lane("to_bot".to_owned());
        let directive = json!({
            "Namespace": "LiveChatHitl", "Dimensions": [["Stack"]],
            "Metrics": [{"Name": "Delivered", "Unit": "Count"}, {"Name": "DeliveryDelay", "Unit": "Milliseconds"}],
        });
        let mut expected = json!({
            "_aws": {"Timestamp": 1_778_492_460_877_i64, "CloudWatchMetrics": [directive]},
            "Stack": "acme", "Lane": "to_bot", "Delivered": 1.0, "Attempts": 2.0, "DeliveryDelay": 45.5,
        });
        assert_eq!(line(("acme", Monitoring::Full), now, &about, &values), expected);
        expected.as_object_mut().unwrap().remove("_aws");
        assert_eq!(line(("acme", Monitoring::Lean), now, &about, &values), expected, "the log alone has it");
    }

    #[test]
    fn a_lean_stack_pays_for_one_series_and_a_full_one_for_fourteen_at_most() {
        let series = |monitoring| Metric::ALL.into_iter().filter(move |metric| metric.is_series(monitoring));
        assert_eq!(series(Monitoring::Lean).collect::<Vec<_>>(), [Metric::Health]);
        assert!(series(Monitoring::Full).count() <= 14);
    }

    #[test]
    fn each_metric_has_a_name_of_its_own() {
        let mut names: Vec<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        names.dedup();
        assert_eq!(names.len(), Metric::ALL.len());
    }
}
