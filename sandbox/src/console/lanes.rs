//! Waiting items, session by session: their number and kind, since when they wait, their next attempt, and why not now.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::clock::Timestamp;

use crate::stack::Stack;

/// Lanes with waiting items, those of one session side by side, and how many items are parked.
pub(super) fn waiting(stack: &Stack) -> (Vec<Value>, usize) {
    let items = stack.table.items().unwrap_or_default();
    (described(&items, stack.now()), items.iter().filter(|item| text(item, "/sk").starts_with("PARKED#")).count())
}

fn described(items: &[Value], now: Timestamp) -> Vec<Value> {
    let mut lanes: Vec<_> = items.iter().filter_map(|record| lane(record, items, now)).collect();
    let place = |lane: &Value| ["/session", "/lane"].map(|name| text(lane, name).to_owned());
    lanes.sort_by_key(place);
    lanes
}

/// Describes a lane by its record; none if the record is no lane's, or nothing waits in the lane.
fn lane(record: &Value, items: &[Value], now: Timestamp) -> Option<Value> {
    let (partition, sk) = (text(record, "/pk"), text(record, "/sk"));
    let lane = sk.strip_prefix("LANE#").filter(|lane| !lane.contains('#'))?;
    let begins = format!("{sk}#");
    let is_in_it = |item: &&Value| text(item, "/pk") == partition && text(item, "/sk").starts_with(&begins);
    let waiting: Vec<_> = items.iter().filter(is_in_it).collect();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for item in &waiting {
        *kinds.entry(text(item, "/content/kind")).or_default() += 1;
    }
    let named = |pk: &str, sk: &str| items.iter().find(|item| text(item, "/pk") == pk && text(item, "/sk") == sk);
    let session = named(partition, "SESSION");
    let user_id = session.map_or("", |session| text(session, "/user_id"));
    let user = named(&format!("USER#{user_id}"), "USER");
    let oldest = waiting.iter().map(|item| text(item, "/at")).min()?;
    Some(json!({
        "session": partition.trim_start_matches("SESSION#"),
        "user": user.map(|user| text(user, "/profile/name")).filter(|name| !name.is_empty()).unwrap_or(user_id),
        "lane": lane,
        "waiting": waiting.len(),
        "kinds": kinds,
        "attempts": waiting.iter().filter_map(|item| item.get("attempts").and_then(Value::as_u64)).max(),
        "since": oldest,
        "next_try": record.get("due_at"),
        "why": why(record, session, now),
    }))
}

/// Returns why waiting items are not delivered now, according to the lane's record (`store/lane.rs` lists its attributes).
fn why(record: &Value, session: Option<&Value>, now: Timestamp) -> String {
    // Times have a fixed width, so comparing them as texts is correct.
    let is_later = |name: &str| text(record, name) > now.to_string().as_str();
    let vendor = text(record, "/failed_by");
    if is_later("/lease_until") {
        return "a function holds the lane's lease: it is delivering, or has died".to_owned();
    }
    if session.is_some_and(|session| text(session, "/session_state") == "starting") {
        return "the session is still being started".to_owned();
    }
    match (text(record, "/limited_since"), text(record, "/failed_at")) {
        ("", "") if is_later("/not_before") => "it is not due yet".to_owned(),
        ("", "") => "the next sweep delivers it".to_owned(),
        ("", _) => format!("{vendor} fails"),
        _ => format!("{vendor} limits calls"),
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &str = "2026-05-11T10:00:00.000000Z";
    const LATER: &str = "2026-05-11T11:00:00.000000Z";

    fn now() -> Timestamp {
        Timestamp::parse("2026-05-11T10:30:00.000000Z").unwrap()
    }

    #[test]
    fn a_lane_says_why_it_waits() {
        let starting = json!({ "session_state": "starting" });
        let active = json!({ "session_state": "active" });
        for (record, session, expected) in [
            (json!({ "lease_until": LATER, "failed_at": EARLIER }), &active, "holds the lane"),
            (json!({ "lease_until": EARLIER }), &active, "the next sweep"),
            (json!({ "not_before": LATER }), &active, "not due yet"),
            (json!({ "not_before": LATER }), &starting, "still being started"),
            (json!({ "failed_at": EARLIER, "failed_by": "LiveChat", "not_before": LATER }), &active, "LiveChat fails"),
            (json!({ "limited_since": EARLIER, "failed_by": "Botpress" }), &active, "Botpress limits calls"),
        ] {
            let said = why(&record, Some(session), now());
            assert!(said.contains(expected), "{record}: {said}");
        }
    }

    #[test]
    fn lanes_of_one_session_stand_side_by_side_with_the_user_and_what_waits() {
        let record = |session: &str, lane: &str| json!({ "pk": format!("SESSION#{session}"), "sk": format!("LANE#{lane}"), "due_at": LATER });
        let item = |session: &str, lane: &str, at: &str, kind: &str| {
            json!({
                "pk": format!("SESSION#{session}"), "sk": format!("LANE#{lane}#{at}#x"), "at": at, "attempts": 2,
                "content": { "kind": kind },
            })
        };
        let items = [
            record("b", "to_bot"),
            record("a", "to_bot"),
            record("b", "to_agent"),
            item("b", "to_bot", EARLIER, "message"),
            item("b", "to_agent", LATER, "message"),
            item("b", "to_agent", EARLIER, "message"),
            item("b", "to_agent", EARLIER, "close"),
            json!({ "pk": "SESSION#b", "sk": "SESSION", "user_id": "u1", "session_state": "active" }),
            json!({ "pk": "USER#u1", "sk": "USER", "profile": { "name": "Ann" } }),
        ];
        let lanes = described(&items, now());
        let places: Vec<_> = lanes.iter().map(|lane| (text(lane, "/session"), text(lane, "/lane"))).collect();
        assert_eq!(places, [("b", "to_agent"), ("b", "to_bot")], "an empty lane is none");
        let first = &lanes[0];
        assert_eq!((text(first, "/user"), text(first, "/since"), text(first, "/next_try")), ("Ann", EARLIER, LATER));
        assert_eq!((&first["waiting"], &first["attempts"]), (&json!(3), &json!(2)));
        assert_eq!(first["kinds"], json!({ "close": 1, "message": 2 }));
    }
}
