//! The bill of a stack and its vendors: prices from a file, quantities from figures that tests measure.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::output::Failure;

const PRICES: &str = include_str!("../../docs/prices.json");
const FIGURES: &str = include_str!("../../docs/figures.json");

/// Sweeps in a month of 730 hours.
const SWEEPS: f64 = 43_800.0;

/// The price of something, with its source.
#[derive(Clone, Debug, Deserialize)]
struct Price {
    /// USD for `per` units.
    usd: f64,
    per: f64,
    /// Tiers with another price above a number of units a month, lowest first.
    #[serde(default)]
    above: Vec<Tier>,
    source: String,
    read: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Tier {
    units: f64,
    usd: f64,
}

impl Price {
    fn of(&self, units: f64) -> f64 {
        let mut usd = 0.0;
        let (mut from, mut price) = (0.0, self.usd);
        for tier in &self.above {
            usd += (units.min(tier.units) - from).max(0.0) * price;
            (from, price) = (tier.units, tier.usd);
        }
        (usd + (units - from).max(0.0) * price) / self.per
    }
}

/// Prices by name, in the form of docs/prices.json.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Prices {
    prices: BTreeMap<String, Price>,
}

impl Prices {
    /// Returns the built-in prices, each replaced by the price of the same name in `file`.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, Failure> {
        let mut all: Self = parse(PRICES, "the built-in file of prices")?;
        if let Some(file) = file {
            let name = file.display().to_string();
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::stopped(format!("{name} cannot be read: {error}.")))?;
            all.prices.extend(parse::<Self>(&text, &name)?.prices);
        }
        Ok(all)
    }
}

fn parse<T: for<'de> Deserialize<'de>>(text: &str, name: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::stopped(format!("{name} does not have the form of docs/prices.json in the repository: {error}."))
    })
}

/// What one session, message, reading or sweep takes.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Figure {
    pub livechat_calls: f64,
    webhooks: f64,
    botpress_messages: f64,
    requests: f64,
    read_units: f64,
    write_units: f64,
}

impl Figure {
    fn times(self, count: f64) -> Self {
        Self {
            livechat_calls: self.livechat_calls * count,
            webhooks: self.webhooks * count,
            botpress_messages: self.botpress_messages * count,
            requests: self.requests * count,
            read_units: self.read_units * count,
            write_units: self.write_units * count,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            livechat_calls: self.livechat_calls + other.livechat_calls,
            webhooks: self.webhooks + other.webhooks,
            botpress_messages: self.botpress_messages + other.botpress_messages,
            requests: self.requests + other.requests,
            read_units: self.read_units + other.read_units,
            write_units: self.write_units + other.write_units,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Measured {
    session: Figure,
    user_message: Figure,
    agent_message: Figure,
    reading: Figure,
    sweep: Figure,
}

/// How often a silent thread is read.
#[derive(Debug, Deserialize)]
struct Silence {
    first_readings: f64,
    by_minute: f64,
    then_every_minutes: f64,
}

#[derive(Debug, Deserialize)]
struct Assumed {
    function_gb: f64,
    request_seconds: f64,
    request_log_gb: f64,
    sweep_seconds: f64,
    sweep_log_gb: f64,
}

#[derive(Debug, Deserialize)]
struct Standing {
    lean: BTreeMap<String, f64>,
    full: BTreeMap<String, f64>,
}

/// The content of docs/figures.json.
#[derive(Debug, Deserialize)]
pub(crate) struct Figures {
    measured: Measured,
    silence: Silence,
    assumed: Assumed,
    standing: Standing,
}

/// The work that a bill is for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    pub sessions: f64,
    pub from_user: f64,
    pub from_agents: f64,
    pub readings: f64,
    /// How many months the stack has existed.
    pub months: f64,
    pub is_full: bool,
    /// LiveChat's calls, if they were counted.
    pub livechat_calls: Option<f64>,
}

impl Figures {
    pub(crate) fn read() -> Result<Self, Failure> {
        parse(FIGURES, "the built-in file of figures")
    }

    /// Returns how many LiveChat calls the work takes according to the figures.
    pub(crate) fn livechat_calls(&self, work: Work) -> f64 {
        self.taken_by(work).livechat_calls
    }

    /// Returns how often a thread is read that stays silent for `hours`.
    pub(crate) fn readings_of(&self, hours: f64) -> f64 {
        let Silence { first_readings, by_minute, then_every_minutes } = &self.silence;
        let later = (hours * 60.0 - by_minute).max(0.0) / then_every_minutes;
        if hours > 0.0 { first_readings + later.floor() } else { 0.0 }
    }

    fn taken_by(&self, work: Work) -> Figure {
        let Measured { session, user_message, agent_message, reading, .. } = &self.measured;
        let all = session.times(work.sessions).plus(user_message.times(work.from_user));
        all.plus(agent_message.times(work.from_agents)).plus(reading.times(work.readings))
    }

    pub(crate) fn bill<'a>(&self, work: Work, prices: &'a Prices) -> Result<Bill<'a>, Failure> {
        let taken = self.taken_by(work);
        let sweeps = SWEEPS * work.months;
        let swept = self.measured.sweep.times(sweeps);
        let Assumed { function_gb, request_seconds, request_log_gb, sweep_seconds, sweep_log_gb } = &self.assumed;
        let seconds = taken.requests * request_seconds + sweeps * sweep_seconds;
        let mut bill = Bill { lines: Vec::new(), prices, webhooks: taken.webhooks };
        let livechat_calls = work.livechat_calls.unwrap_or(taken.livechat_calls);
        bill.add("LiveChat", "calls", "livechat_call", livechat_calls)?;
        bill.add("Botpress", "messages and events", "botpress_message", taken.botpress_messages)?;
        bill.add("AWS", "requests of the API", "http_api_request", taken.requests)?;
        bill.add("AWS", "invocations", "lambda_request", taken.requests + sweeps)?;
        bill.add("AWS", "GB seconds", "lambda_gb_second", seconds * function_gb)?;
        bill.add("AWS", "table, write units", "dynamodb_wru", taken.write_units + swept.write_units)?;
        bill.add("AWS", "table, read units", "dynamodb_rru", taken.read_units + swept.read_units)?;
        bill.add("AWS", "logs, GB", "logs_gb", taken.requests * request_log_gb + sweeps * sweep_log_gb)?;
        let standing = if work.is_full { &self.standing.full } else { &self.standing.lean };
        for (price, count) in standing {
            let what = price.trim_end_matches("_month").replace('_', " ");
            bill.add("AWS", &format!("{what}, months"), price, count * work.months)?;
        }
        Ok(bill)
    }
}

/// One line of a bill.
#[derive(Clone, Debug, Serialize)]
struct Line {
    vendor: &'static str,
    what: String,
    units: f64,
    usd: f64,
    price: String,
    source: String,
    read: String,
}

/// A bill under construction.
#[derive(Debug)]
pub(crate) struct Bill<'a> {
    lines: Vec<Line>,
    prices: &'a Prices,
    webhooks: f64,
}

impl Bill<'_> {
    fn add(&mut self, vendor: &'static str, what: &str, name: &str, units: f64) -> Result<(), Failure> {
        let price = self.prices.prices.get(name);
        let price = price.ok_or_else(|| Failure::stopped(format!("the file of prices has no {name}.")))?;
        self.lines.push(Line {
            vendor,
            what: what.to_owned(),
            units,
            usd: price.of(units),
            price: name.to_owned(),
            source: price.source.clone(),
            read: price.read.clone(),
        });
        Ok(())
    }

    /// Returns the bill with its sums; `about` states what was counted and what was not.
    pub(crate) fn total(self, about: Vec<String>) -> Total {
        let mut sums = BTreeMap::new();
        for line in &self.lines {
            *sums.entry(line.vendor).or_insert(0.0) += line.usd;
        }
        let usd = sums.values().sum();
        let if_webhooks_are_billed = self.prices.prices.get("livechat_call").map_or(0.0, |price| {
            let calls: f64 =
                self.lines.iter().filter(|line| line.price == "livechat_call").map(|line| line.units).sum();
            price.of(calls + self.webhooks) - price.of(calls)
        });
        Total { lines: self.lines, sums, usd, if_webhooks_are_billed, about }
    }
}

/// A complete bill.
#[derive(Debug, Serialize)]
pub(crate) struct Total {
    lines: Vec<Line>,
    sums: BTreeMap<&'static str, f64>,
    usd: f64,
    if_webhooks_are_billed: f64,
    about: Vec<String>,
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<9} {:<32} {:>16} {:>12}  PRICE OF", "VENDOR", "WHAT", "UNITS", "USD")?;
        for line in &self.lines {
            let units = if line.units < 1_000.0 { format!("{:.2}", line.units) } else { grouped(line.units) };
            writeln!(f, "{:<9} {:<32} {units:>16} {:>12.2}  {}", line.vendor, line.what, line.usd, line.read)?;
        }
        writeln!(f)?;
        for (vendor, usd) in &self.sums {
            writeln!(f, "{vendor:<59} {usd:>12.2}")?;
        }
        writeln!(f, "{:<59} {:>12.2}\n", "Sum, USD", self.usd)?;
        for sentence in &self.about {
            writeln!(f, "{sentence}")?;
        }
        write!(
            f,
            "If LiveChat bills webhooks as well, which its price page leaves open: {:.2} USD more.",
            self.if_webhooks_are_billed
        )
    }
}

/// Formats a number without decimals, with a comma before each three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(name: &str) -> Price {
        Prices::read(None).unwrap().prices.remove(name).unwrap()
    }

    #[test]
    fn calls_cost_less_from_a_million_a_month_on() {
        let call = price("livechat_call");
        let cents = |units: f64| (call.of(units) * 100.0).round();
        assert_eq!((cents(1_000.0), cents(1_000_000.0)), (27.0, 27_000.0));
        assert_eq!((cents(2_000_000.0), cents(11_000_000.0)), (49_000.0, 242_000.0));
    }

    #[test]
    fn every_price_has_its_source_and_date() {
        for (name, price) in Prices::read(None).unwrap().prices {
            assert!(price.source.starts_with("https://") && price.read.starts_with("20"), "{name}");
            assert!(price.usd > 0.0 && price.per >= 1.0, "{name}");
        }
    }

    #[test]
    fn an_idle_stack_with_lean_monitoring_costs_at_most_a_dollar_a_month() {
        let idle = Work { months: 1.0, ..Work::default() };
        let bill = Figures::read().unwrap().bill(idle, &Prices::read(None).unwrap()).unwrap().total(Vec::new());
        assert!(bill.usd > 0.5 && bill.usd <= 1.0, "{}", bill.usd);
    }

    #[test]
    fn numbers_are_grouped_by_three_digits() {
        assert_eq!(
            (grouped(999.0), grouped(1_234.0), grouped(12_345_678.4)),
            ("999".into(), "1,234".into(), "12,345,678".into())
        );
    }
}
