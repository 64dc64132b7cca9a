//! The working times of agents.

use std::ops::Range;

use crate::http::Field;

/// An agent's week, according to the console's work scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkSchedule {
    /// The IANA name of the time zone of the times, such as `America/Phoenix`.
    pub time_zone: String,
    /// The days on which the agent works.
    pub shifts: Vec<Shift>,
}

/// The working time of one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// The day, from 0 for Monday to 6 for Sunday.
    pub day: u8,
    /// Start and end, in minutes since midnight. A shift that ends before it begins ends on the next day.
    pub minutes: Range<u16>,
}

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl WorkSchedule {
    /// The schedule of an item of `list_agents`, if it has one.
    ///
    /// `{"work_scheduler": {"timezone": "America/Phoenix", "schedule": [{"day": "monday", "enabled": true, "start": "08:00",
    /// "end": "17:00"}]}}`. How LiveChat names the days is not documented, so days as keys are read as well.
    pub(super) fn read(agent: &Field<'_>) -> Option<Self> {
        let scheduler = agent.get("work_scheduler");
        let days = scheduler.get("schedule");
        let by_name = days
            .value()
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(day, times)| Some(Shift { day: number_of(day)?, minutes: minutes(times)? }));
        let listed =
            days.value().as_array().into_iter().flatten().filter_map(|times| {
                Some(Shift { day: number_of(times.get("day")?.as_str()?)?, minutes: minutes(times)? })
            });
        Some(Self { time_zone: scheduler.get("timezone").text()?, shifts: by_name.chain(listed).collect() })
    }
}

fn number_of(day: &str) -> Option<u8> {
    let number = DAYS.iter().position(|name| name.eq_ignore_ascii_case(day))?;
    u8::try_from(number).ok()
}

fn minutes(times: &serde_json::Value) -> Option<Range<u16>> {
    let minute = |name: &str| {
        let (hours, minutes) = times.get(name)?.as_str()?.split_once(':')?;
        let (hours, minutes) = (hours.parse::<u16>().ok()?, minutes.get(..2)?.parse::<u16>().ok()?);
        (hours <= 24 && minutes < 60).then_some(hours * 60 + minutes)
    };
    let is_enabled = times.get("enabled").is_none_or(|enabled| enabled != false);
    if is_enabled { Some(minute("start")?..minute("end")?) } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http;

    fn read(agent: &serde_json::Value) -> Option<WorkSchedule> {
        http::read(agent.to_string().as_bytes(), WorkSchedule::read).unwrap().0
    }

    #[test]
    fn days_that_are_off_or_unreadable_are_left_out() {
        let times = |start: &str, end: &str| json!({ "day": "Monday", "enabled": true, "start": start, "end": end });
        let schedule = |schedule| json!({ "work_scheduler": { "timezone": "Europe/Warsaw", "schedule": schedule } });
        for (agent, shifts) in [
            (schedule(json!([times("08:30", "17:00")])), vec![(0, 510..1_020)]),
            (schedule(json!([times("22:00:00", "24:00:00")])), vec![(0, 1_320..1_440)]),
            (schedule(json!({ "sunday": { "start": "09:00", "end": "10:00" } })), vec![(6, 540..600)]),
            (schedule(json!([{ "day": "friday", "enabled": false, "start": "08:00", "end": "17:00" }])), vec![]),
            (schedule(json!([times("eight", "17:00"), times("25:00", "26:00"), { "day": 1 }, null])), vec![]),
            (schedule(json!(null)), vec![]),
        ] {
            let read = read(&agent).unwrap();
            let shifts: Vec<_> = shifts.into_iter().map(|(day, minutes)| Shift { day, minutes }).collect();
            assert_eq!((read.time_zone.as_str(), read.shifts), ("Europe/Warsaw", shifts), "{agent}");
        }
        assert_eq!(read(&json!({ "id": "anna@example.com" })), None);
    }
}
