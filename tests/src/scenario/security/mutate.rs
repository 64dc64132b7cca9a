//! Plausible malformed input: turns a valid request or answer into a bad one.

use fastrand::Rng;
use serde_json::{Value, json};

/// Deeper than any parser should follow.
const DEEP: usize = 100_000;

/// A body like `body`, spoiled in one to four ways; `word` replaces strings.
pub(super) fn spoil(random: &mut Rng, body: &[u8], word: &str) -> Vec<u8> {
    let mut spoiled = match serde_json::from_slice::<Value>(body) {
        Ok(mut value) => {
            for _ in 0..random.usize(..4) {
                let place = random.usize(..nodes(&value));
                at(&mut value, &mut { place }, &mut |node| change(random, node, word));
            }
            value.to_string().into_bytes()
        }
        Err(_) => body.to_vec(),
    };
    if random.u8(..4) == 0 {
        scribble(random, &mut spoiled, word);
    }
    spoiled
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(fields) => fields.values().map(nodes).sum::<usize>(),
        _ => 0,
    }
}

fn at(value: &mut Value, place: &mut usize, then: &mut dyn FnMut(&mut Value)) {
    if *place == 0 {
        *place = usize::MAX;
        return then(value);
    }
    *place -= 1;
    let children: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(items) => Box::new(items.iter_mut()),
        Value::Object(fields) => Box::new(fields.values_mut()),
        _ => return,
    };
    for child in children {
        if *place != usize::MAX {
            at(child, place, then);
        }
    }
}

/// Drops, renames, retypes, nests, lengthens.
fn change(random: &mut Rng, node: &mut Value, word: &str) {
    match (random.u8(..8), &mut *node) {
        (0..3, Value::Object(fields)) if !fields.is_empty() => {
            let name = fields.keys().nth(random.usize(..fields.len())).cloned().unwrap_or_default();
            let value = fields.remove(&name).unwrap_or_default();
            match random.u8(..4) {
                0 => drop(fields.insert(word.to_owned(), value)),
                1 => drop(fields.insert(name.to_uppercase(), value)),
                2 => drop(fields.insert(name, json!([value]))),
                _ => {}
            }
        }
        (3, Value::Object(fields)) => drop(fields.insert(word.to_owned(), junk(random, word))),
        (0..3, Value::Array(items)) if !items.is_empty() => {
            let item = items[random.usize(..items.len())].clone();
            items.extend(std::iter::repeat_n(item, random.usize(1..20)));
        }
        (0, Value::String(text)) => *text = text.repeat(random.usize(2..200)),
        (1, Value::String(text)) => text.insert_str(0, "\u{0}\u{202e}\u{feff}"),
        (2, Value::String(text)) => text.push_str(word),
        (4, _) => {
            for _ in 0..random.usize(1..60) {
                let inner = node.take();
                *node = if random.bool() { json!([inner]) } else { json!({ "text": inner }) };
            }
        }
        _ => *node = junk(random, word),
    }
}

fn junk(random: &mut Rng, word: &str) -> Value {
    match random.u8(..16) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => json!(0),
        3 => json!(-1),
        4 => json!(i64::MIN),
        5 => json!(u64::MAX),
        6 => json!(1e308),
        7 => json!(0.1),
        8 => json!(""),
        9 => json!([]),
        10 => json!({}),
        11 => json!("9999-12-31T23:59:59.999999Z"),
        12 => json!("-000001-01-01T00:00:00Z"),
        13 => json!([word, [word], { "a": word }]),
        14 => json!({ "type": word, "text": word, "id": word }),
        _ => json!(word),
    }
}

/// Spoils the text itself.
fn scribble(random: &mut Rng, body: &mut Vec<u8>, word: &str) {
    let place = random.usize(..=body.len());
    let insert = |body: &mut Vec<u8>, bytes: &[u8]| drop(body.splice(place..place, bytes.iter().copied()));
    match random.u8(..14) {
        0 => body.truncate(place),
        1 => insert(body, &[0xFF, 0xC0, 0x80]),
        2 => insert(body, b"\0"),
        3 => insert(body, br"\ud800"),
        4 => insert(body, word.as_bytes()),
        5 => insert(body, b"1e999"),
        6 => insert(body, "[".repeat(random.usize(1..DEEP)).as_bytes()),
        7 => *body = "{\"a\":".repeat(random.usize(1..DEEP)).into_bytes(),
        8 => *body = [&[0xEF, 0xBB, 0xBF], body.as_slice()].concat(),
        9 => body.extend_from_slice(word.as_bytes()),
        10 => body.clear(),
        11 => {
            if let Some(byte) = body.get_mut(place) {
                *byte ^= 1 << random.u8(..8);
            }
        }
        12 => twice(random, body, word),
        _ => *body = [b"[".as_slice(), body, b",", body, b"]"].concat(),
    }
}

/// Some key occurs twice.
fn twice(random: &mut Rng, body: &mut Vec<u8>, word: &str) {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return };
    if let Some(name) = fields.keys().nth(random.usize(..fields.len().max(1))) {
        let again = format!("{{{}:{},", json!(name), json!(word));
        drop(body.splice(..1, again.into_bytes()));
    }
}
