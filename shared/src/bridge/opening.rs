//! When agents are back, according to their working times.

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::livechat::{Shift, WorkSchedule};

/// How many days ahead to look: a week, and the day on which it began.
const DAYS_AHEAD: i64 = 7;

/// The earliest start of a shift after `now`.
///
/// `None` without working times. `None` during a shift, too: an agent is late or away, and the schedule does not say for how
/// long.
pub fn opens_at(schedules: &[WorkSchedule], now: Timestamp) -> Option<Timestamp> {
    let shifts: Vec<_> = schedules.iter().flat_map(|schedule| around(schedule, now)).flatten().collect();
    let is_time_to_work = shifts.iter().any(|(start, end)| *start <= now && now < *end);
    let next = shifts.into_iter().map(|(start, _)| start).filter(|start| now < *start).min();
    next.filter(|_| !is_time_to_work)
}

/// An agent's shifts from yesterday on, each with its start and end.
fn around(schedule: &WorkSchedule, now: Timestamp) -> Option<Vec<(Timestamp, Timestamp)>> {
    let zone = TimeZone::get(&schedule.time_zone).ok()?;
    let today = jiff::Timestamp::from_microsecond(now.unix_micros()).ok()?.to_zoned_datetime(zone.clone()).date();
    let days = (-1..=DAYS_AHEAD).filter_map(|days| today.checked_add(days.days()).ok());
    let shifts = days.flat_map(|date| {
        let day = u8::try_from(date.weekday().to_monday_zero_offset()).ok();
        schedule.shifts.iter().filter(move |shift| Some(shift.day) == day).map(move |shift| (date, shift))
    });
    Some(shifts.filter_map(|(date, shift)| times(date, shift, &zone)).collect())
}

fn times(date: Date, shift: &Shift, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
    let at = |date: Date, minutes: u16| {
        // Wall-clock time: the day on which the clocks change has other hours.
        let time = date.at(0, 0, 0, 0).checked_add(i64::from(minutes).minutes()).ok()?;
        let moment = time.to_zoned_datetime(zone.clone()).ok()?.timestamp();
        Some(Timestamp::from_unix_micros(moment.as_microsecond()))
    };
    let ends_next_day = shift.minutes.end <= shift.minutes.start;
    let end_date = if ends_next_day { date.tomorrow().ok()? } else { date };
    Some((at(date, shift.minutes.start)?, at(end_date, shift.minutes.end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NINE: u16 = 9 * 60;

    fn schedule(time_zone: &str, shifts: &[(u8, u16, u16)]) -> WorkSchedule {
        let shifts = shifts.iter().map(|(day, start, end)| Shift { day: *day, minutes: *start..*end }).collect();
        WorkSchedule { time_zone: time_zone.to_owned(), shifts }
    }

    fn check(schedules: &[WorkSchedule], now: &str, expected: Option<&str>) {
        let found = opens_at(schedules, Timestamp::parse(now).unwrap());
        assert_eq!(found, expected.map(|at| Timestamp::parse(at).unwrap()), "at {now}: {schedules:?}");
    }

    #[test]
    fn the_earliest_shift_of_anybody_counts_in_its_own_time_zone() {
        let weekdays = [(0, NINE, 1_020), (1, NINE, 1_020), (2, NINE, 1_020), (3, NINE, 1_020), (4, NINE, 1_020)];
        let warsaw = schedule("Europe/Warsaw", &weekdays);
        let phoenix = schedule("America/Phoenix", &weekdays);
        // A Monday in summer: Warsaw is two hours ahead of UTC, Phoenix seven hours behind.
        check(std::slice::from_ref(&warsaw), "2026-05-11T05:00:00Z", Some("2026-05-11T07:00:00Z"));
        check(&[warsaw.clone(), phoenix.clone()], "2026-05-11T15:30:00Z", Some("2026-05-11T16:00:00Z"));
        check(&[phoenix], "2026-05-11T15:30:00Z", Some("2026-05-11T16:00:00Z"));
        // Monday follows Friday.
        check(std::slice::from_ref(&warsaw), "2026-05-15T15:00:00Z", Some("2026-05-18T07:00:00Z"));
        // The clocks go back in the night before Sunday, 25 October.
        check(&[warsaw], "2026-10-24T15:00:00Z", Some("2026-10-26T08:00:00Z"));
    }

    #[test]
    fn nothing_is_said_where_somebody_should_be_there_or_nobody_has_working_times() {
        let night = schedule("Europe/Warsaw", &[(0, 1_320, 360)]);
        check(std::slice::from_ref(&night), "2026-05-12T03:59:00Z", None);
        check(&[night], "2026-05-12T04:00:00Z", Some("2026-05-18T20:00:00Z"));
        check(&[schedule("Europe/Warsaw", &[])], "2026-05-11T05:00:00Z", None);
        check(&[schedule("Mars/Olympus", &[(0, 0, 1_440)])], "2026-05-11T05:00:00Z", None);
        check(&[], "2026-05-11T05:00:00Z", None);
        check(&[schedule("UTC", &[(0, 0, 1_440)])], "2026-05-11T23:59:59Z", None);
    }
}
