//! `hitl cost` and `hitl estimate`: what a stack has cost, and what one would cost.

use std::time::Duration;

use shared::clock::Timestamp;
use shared::store::Record;

use crate::Io;
use crate::arguments::{CostOptions, EstimateOptions, Monitoring};
use crate::bill::{Figures, Prices, Work};
use crate::output::{Answer, Exit, Failure};
use crate::target::Target;

const DAY: Duration = Duration::from_secs(86_400);

/// Days in a month of 730 hours.
const MONTH_DAYS: f64 = 730.0 / 24.0;

/// The sessions of some days, summed up.
#[derive(Debug, Default)]
struct Counted {
    sessions: u32,
    from_user: u64,
    from_agents: u64,
    /// LiveChat calls that the sessions counted.
    livechat_calls: u64,
    /// Sessions whose record contains no calls.
    uncounted: u32,
    /// Messages of the users of those sessions.
    uncounted_from_user: u64,
    unreadable: usize,
}

impl Counted {
    fn add(&mut self, record: &Record) {
        self.sessions += 1;
        self.from_user += record.from_user;
        self.from_agents += record.from_agents;
        match record.vendor_calls {
            Some(calls) => self.livechat_calls += calls.livechat,
            None => {
                self.uncounted += 1;
                self.uncounted_from_user += record.from_user;
            }
        }
    }
}

/// Converts a count for calculations with money.
fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// `hitl cost`.
pub(crate) async fn cost(target: &Target, options: &CostOptions, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let (prices, figures) = (Prices::read(options.prices.prices.as_deref())?, Figures::read()?);
    let (table, now) = (target.table()?, io.clock.now());
    let mut counted = Counted::default();
    for back in 0..options.since {
        let then = now.unix_millis() - i64::from(back) * i64::try_from(DAY.as_millis()).unwrap_or_default();
        let day = table.records_of_day(Timestamp::from_unix_millis(then), now).await?;
        counted.unreadable += day.unreadable;
        day.records.iter().for_each(|record| counted.add(record));
    }
    let work = Work {
        sessions: f64::from(counted.sessions),
        from_user: float(counted.from_user),
        from_agents: float(counted.from_agents),
        months: f64::from(options.since) / MONTH_DAYS,
        is_full: options.prices.monitoring == Monitoring::Full,
        ..Work::default()
    };
    let uncounted = Work {
        sessions: f64::from(counted.uncounted),
        from_user: float(counted.uncounted_from_user),
        ..Work::default()
    };
    let livechat_calls = float(counted.livechat_calls) + figures.livechat_calls(uncounted);
    let bill = figures.bill(Work { livechat_calls: Some(livechat_calls), ..work }, &prices)?;
    let about = vec![
        format!(
            "{} sessions that started within {} days and have ended, with {} messages of users and {} of agents. LiveChat's calls \
             are those that the sessions have counted ({} have not, and are estimated like everything else).",
            counted.sessions, options.since, counted.from_user, counted.from_agents, counted.uncounted
        ),
        "Everything else is estimated: sessions and messages times what tests have measured for one (docs/figures.json)."
            .to_owned(),
        format!(
            "Not counted: sessions that are open, tokens of new users (one call each), checkAvailability, files, traffic, free tiers{}.",
            if counted.unreadable > 0 { format!(", {} unreadable records", counted.unreadable) } else { String::new() }
        ),
    ];
    Ok(Answer::new(Exit::Done, &bill.total(about)))
}

/// `hitl estimate`.
pub(crate) fn estimate(options: &EstimateOptions) -> Result<Answer, Failure> {
    let (prices, figures) = (Prices::read(options.prices.prices.as_deref())?, Figures::read()?);
    let each_way = options.messages / 2.0;
    let readings = figures.readings_of(options.idle_hours);
    let work = Work {
        sessions: options.sessions,
        from_user: each_way,
        from_agents: each_way,
        readings: options.idle_chats * readings,
        months: 1.0,
        is_full: options.prices.monitoring == Monitoring::Full,
        livechat_calls: None,
    };
    let about = vec![
        format!(
            "A month: {} sessions of new users with {} messages, half of them each way; {} chats that stay silent for {} hours, each \
             read {readings:.0} times.",
            options.sessions, options.messages, options.idle_chats, options.idle_hours
        ),
        "Quantities are what tests have measured for one session and one message (docs/figures.json), prices the list prices named \
         there (docs/prices.json), without free tiers."
            .to_owned(),
    ];
    Ok(Answer::new(Exit::Done, &figures.bill(work, &prices)?.total(about)))
}
