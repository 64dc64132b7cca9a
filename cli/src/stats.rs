//! `hitl stats`: how sessions went, from the records that they leave.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use shared::store::Record;

use crate::Io;
use crate::arguments::StatsOptions;
use crate::output::{Answer, Exit, Failure};
use crate::target::Target;

const DAY: Duration = Duration::from_secs(86_400);

/// Median and 95th percentile, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Times {
    median: f64,
    p95: f64,
}

impl Times {
    /// Uses the nearest rank; none if nothing was measured.
    fn of(mut ms: Vec<u64>) -> Option<Self> {
        ms.sort_unstable();
        let rank = |percent: usize| ms.get((ms.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
        Some(Self { median: seconds(rank(50)?), p95: seconds(rank(95)?) })
    }
}

/// The figures of some records.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Figures {
    by: &'static str,
    name: String,
    sessions: usize,
    reasons: BTreeMap<String, usize>,
    time_to_assign: Option<Times>,
    time_to_first_answer: Option<Times>,
    handle_time: Option<Times>,
}

impl Figures {
    fn of(by: &'static str, name: String, records: &[&Record]) -> Self {
        let times =
            |of: fn(&Record) -> Option<u64>| Times::of(records.iter().filter_map(|record| of(record)).collect());
        let mut reasons = BTreeMap::new();
        for record in records {
            *reasons.entry(record.ended_because.clone()).or_default() += 1;
        }
        Self {
            by,
            name,
            sessions: records.len(),
            reasons,
            time_to_assign: times(|record| record.assigned_after_ms),
            time_to_first_answer: times(|record| record.answered_after_ms),
            handle_time: times(|record| record.handled_ms),
        }
    }

    fn cells(&self) -> [String; 6] {
        let cells = [self.time_to_assign, self.time_to_first_answer, self.handle_time]
            .into_iter()
            .flat_map(|times| [times.map(|times| times.median), times.map(|times| times.p95)].map(cell));
        let mut all: [String; 6] = Default::default();
        for (place, cell) in all.iter_mut().zip(cells) {
            *place = cell;
        }
        all
    }
}

fn cell(seconds: Option<f64>) -> String {
    seconds.map(|seconds| format!("{seconds:.1}")).unwrap_or_default()
}

#[derive(Debug, Serialize)]
struct Stats {
    figures: Vec<Figures>,
    records: usize,
    unreadable: usize,
    queries: u32,
    read_units: f64,
}

/// Returns a bar for each value, scaled to the highest; a blank if nothing was measured.
fn sparkline(values: &[Option<f64>]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let highest = values.iter().flatten().copied().fold(0.0_f64, f64::max);
    let bar = |value: f64| {
        let mut reached = BARS.iter().enumerate().filter(|(index, _)| {
            let step = f64::from(u32::try_from(*index).unwrap_or_default());
            highest > 0.0 && value / highest * 8.0 > step
        });
        reached.next_back().map_or('▁', |(_, bar)| *bar)
    };
    values.iter().map(|value| value.map_or(' ', bar)).collect()
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.figures.iter().map(|one| one.name.chars().count()).max().unwrap_or_default();
        let width = longest.max("NAME".len());
        writeln!(
            f,
            "{:<6} {:<width$} {:>8} {:>17} {:>17} {:>17}  REASONS",
            "BY", "NAME", "SESSIONS", "ASSIGNED", "ANSWERED", "HANDLED"
        )?;
        for one in &self.figures {
            let [assign, assign95, answer, answer95, handle, handle95] = one.cells();
            let reasons: Vec<_> = one.reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            writeln!(
                f,
                "{:<6} {:<width$} {:>8} {assign:>8} {assign95:>8} {answer:>8} {answer95:>8} {handle:>8} {handle95:>8}  {}",
                one.by,
                one.name,
                one.sessions,
                reasons.join(", ")
            )?;
        }
        let days: Vec<_> = self.figures.iter().filter(|one| one.by == "day").collect();
        let line =
            |of: &dyn Fn(&Figures) -> Option<f64>| sparkline(&days.iter().map(|day| of(day)).collect::<Vec<_>>());
        let sessions = |day: &Figures| u32::try_from(day.sessions).ok().map(f64::from);
        writeln!(f, "\nsessions a day    {}", line(&sessions))?;
        writeln!(f, "time to assign    {}", line(&|day| day.time_to_assign.map(|times| times.median)))?;
        writeln!(f, "first answer      {}", line(&|day| day.time_to_first_answer.map(|times| times.median)))?;
        writeln!(f, "handling          {}", line(&|day| day.handle_time.map(|times| times.median)))?;
        writeln!(
            f,
            "\nMedian and 95th percentile in seconds. Sessions count for the day (UTC) on which they started, once they have ended."
        )?;
        write!(
            f,
            "{} records by {} queries, {} read units; {} unreadable",
            self.records, self.queries, self.read_units, self.unreadable
        )
    }
}

impl Stats {
    fn csv(&self) -> String {
        let mut lines = vec![
            "by,name,sessions,assign_median_s,assign_p95_s,answer_median_s,answer_p95_s,handle_median_s,handle_p95_s,reasons"
                .to_owned(),
        ];
        for one in &self.figures {
            let reasons: Vec<_> = one.reasons.iter().map(|(reason, count)| format!("{reason}={count}")).collect();
            let quoted = format!("\"{}\"", one.name.replace('"', "\"\""));
            lines.push(format!("{},{quoted},{},{},{}", one.by, one.sessions, one.cells().join(","), reasons.join(";")));
        }
        lines.join("\n")
    }
}

/// Returns the figures of the records under each name that `names` gives them, ordered by name.
fn grouped(by: &'static str, records: &[Record], names: impl Fn(&Record) -> Vec<String>) -> Vec<Figures> {
    let mut groups: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        for name in names(record) {
            groups.entry(name).or_default().push(record);
        }
    }
    groups.into_iter().map(|(name, records)| Figures::of(by, name, &records)).collect()
}

/// `hitl stats`.
pub(crate) async fn run(target: &Target, options: &StatsOptions, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let (table, now) = (target.table()?, io.clock.now());
    let (mut records, mut days) = (Vec::new(), Vec::new());
    let (mut unreadable, mut read_units) = (0, 0.0);
    for back in (0..options.days).rev() {
        let then = shared::clock::Timestamp::from_unix_millis(
            now.unix_millis() - i64::from(back) * i64::try_from(DAY.as_millis()).unwrap_or_default(),
        );
        let day = table.records_of_day(then, now).await?;
        unreadable += day.unreadable;
        read_units += day.read_units;
        let name = then.to_string().split('T').next().unwrap_or_default().to_owned();
        days.push(Figures::of("day", name, &day.records.iter().collect::<Vec<_>>()));
        records.extend(day.records);
    }
    let mut figures = vec![Figures::of("all", String::new(), &records.iter().collect::<Vec<_>>())];
    figures.extend(days);
    figures.extend(grouped("group", &records, |record| vec![record.group_number.to_string()]));
    figures.extend(grouped("bot", &records, |record| vec![record.bot_id.clone()]));
    figures.extend(grouped("agent", &records, |record| record.agents.clone()));
    let stats = Stats { figures, records: records.len(), unreadable, queries: options.days, read_units };
    let answer = Answer::new(Exit::Done, &stats);
    Ok(if options.csv { Answer { text: stats.csv(), ..answer } } else { answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        assert_eq!(Times::of(Vec::new()), None);
        assert_eq!(Times::of(vec![7_000]), Some(Times { median: 7.0, p95: 7.0 }));
        let hundred = (1..=100).map(|second| second * 1_000).collect();
        assert_eq!(Times::of(hundred), Some(Times { median: 50.0, p95: 95.0 }));
    }

    #[test]
    fn columns_stand_below_each_other_however_long_a_name_is() {
        let figures = ["", "0f8fad5b-d9cb-469f-a165-70867728950e", "7"]
            .map(|name| Figures { sessions: 12_345, ..Figures::of("bot", name.to_owned(), &[]) });
        let stats = Stats { figures: figures.into(), records: 0, unreadable: 0, queries: 1, read_units: 0.5 };
        let text = stats.to_string();
        let ends: Vec<_> = text.lines().skip(1).filter_map(|line| Some(line.find("12345")? + 5)).collect();
        let heading = text.lines().next().and_then(|line| line.find("SESSIONS")).map(|at| at + "SESSIONS".len());
        assert_eq!(ends, [heading.unwrap_or_default(); 3], "{text}");
    }

    #[test]
    fn a_sparkline_rises_with_its_values() {
        assert_eq!(sparkline(&[Some(0.0), Some(4.0), None, Some(8.0)]), "▁▄ █");
    }
}
