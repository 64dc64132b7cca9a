//! Reads documents field by field: a field that is not as documented costs only itself, and its place is noted.

use std::cell::RefCell;
use std::fmt;

use serde_json::Value;

use super::decode::{DecodeError, decode};
use crate::clock::Timestamp;
use crate::ids::MAX_ID_BYTES;
use crate::odd::OddFields;

/// How many places of one document are noted; an oddity in a list occurs in each item.
const MOST_NOTED: usize = 20;

static ABSENT: Value = Value::Null;

impl From<Noted> for OddFields {
    fn from(noted: Noted) -> Self {
        Self::new(noted.into_inner())
    }
}

/// Reads a document; `read` returns `None` if an indispensable field is missing.
///
/// # Errors
///
/// [`DecodeError`] if the text is not JSON at all.
pub(crate) fn read<T>(json: &[u8], read: impl FnOnce(&Field<'_>) -> T) -> Result<(T, OddFields), DecodeError> {
    let document: Value = decode(json)?;
    let noted = Noted::default();
    let value = read(&Field::root(&document, &noted));
    Ok((value, noted.into()))
}

/// The places that were noted while reading a document.
pub(crate) type Noted = RefCell<Vec<String>>;

/// A place in a document and its value; a missing field is the same as null.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    value: &'a Value,
    below: Option<(&'a Field<'a>, Key)>,
    noted: &'a Noted,
}

#[derive(Clone, Copy)]
enum Key {
    Name(&'static str),
    Item(usize),
}

impl<'a> Field<'a> {
    /// The whole document.
    pub(crate) fn root(value: &'a Value, noted: &'a Noted) -> Self {
        Self { value, below: None, noted }
    }

    /// A field of an object.
    pub(crate) fn get(&'a self, name: &'static str) -> Self {
        let value = self.value.get(name).unwrap_or(&ABSENT);
        Self { value, below: Some((self, Key::Name(name))), noted: self.noted }
    }

    /// The value, unprocessed.
    pub(crate) const fn value(&self) -> &'a Value {
        self.value
    }

    /// Whether the field is missing or null.
    pub(crate) fn is_absent(&self) -> bool {
        self.value.is_null()
    }

    /// Notes that the value is not as documented.
    pub(crate) fn note(&self) {
        let mut noted = self.noted.borrow_mut();
        if noted.len() < MOST_NOTED {
            noted.push(self.to_string());
        }
    }

    /// Notes a required field that is missing.
    pub(crate) fn needed<T>(&self, read: Option<T>) -> Option<T> {
        if read.is_none() && self.is_absent() {
            self.note();
        }
        read
    }

    /// Notes a field that is present but could not be read.
    fn or_note<T>(&self, read: Option<T>) -> Option<T> {
        if read.is_none() && !self.is_absent() {
            self.note();
        }
        read
    }

    /// The items of a list; none for anything else.
    pub(crate) fn items(&'a self) -> impl Iterator<Item = Field<'a>> {
        let items = self.or_note(self.value.as_array()).map_or(&[][..], Vec::as_slice);
        let item = |(number, value)| Self { value, below: Some((self, Key::Item(number))), noted: self.noted };
        items.iter().enumerate().map(item)
    }

    /// An object; `None` for anything else.
    pub(crate) fn object(&self) -> Option<&'a serde_json::Map<String, Value>> {
        self.or_note(self.value.as_object())
    }

    /// A text; a number or boolean is read as it is written, and noted.
    pub(crate) fn text(&self) -> Option<String> {
        match self.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => {
                self.note();
                Some(self.value.to_string())
            }
            _ => self.or_note(None),
        }
    }

    /// An id: a text short enough for a key of the table. A number is not accepted, because it could be anyone's.
    pub(crate) fn id<T: From<String>>(&self) -> Option<T> {
        let id = self.value.as_str().filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()));
        self.or_note(id).map(|id| T::from(id.to_owned()))
    }

    /// The same, but accepts a whole number.
    pub(crate) fn id_or_number<T: From<String>>(&self) -> Option<T> {
        match self.value {
            Value::Number(number) if number.is_i64() || number.is_u64() => {
                self.note();
                Some(T::from(number.to_string()))
            }
            _ => self.id(),
        }
    }

    /// A boolean, also as a text or a number.
    pub(crate) fn flag(&self) -> Option<bool> {
        if let Value::Bool(flag) = self.value {
            return Some(*flag);
        }
        let flag = match self.value.to_string().trim_matches('"') {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
        if flag.is_some() {
            self.note();
        }
        self.or_note(flag)
    }

    /// A whole number from 0, also as a text.
    pub(crate) fn number(&self) -> Option<u64> {
        if let Some(number) = self.value.as_u64() {
            return Some(number);
        }
        let written = self.value.as_str().and_then(|text| text.trim().parse().ok());
        let number =
            written.or_else(|| self.value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64));
        if number.is_some() {
            self.note();
        }
        self.or_note(number)
    }

    /// A time; without a zone it is UTC, which is what vendors mean.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        let text = self.value.as_str().unwrap_or_default().trim();
        if let Some(time) = Timestamp::parse(text) {
            return Some(time);
        }
        let time = Timestamp::parse(&format!("{}Z", text.replacen(' ', "T", 1)));
        if time.is_some() {
            self.note();
        }
        self.or_note(time)
    }
}

/// `thread.events[3].text`, and `.` for the whole document.
impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.below {
            None => f.write_str("."),
            Some((parent, Key::Name(name))) if parent.below.is_none() => f.write_str(name),
            Some((parent, Key::Name(name))) => write!(f, "{parent}.{name}"),
            Some((parent, Key::Item(number))) => write!(f, "{parent}[{number}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::ChatId;

    fn places(document: &Value, read_it: impl FnOnce(&Field<'_>)) -> Vec<String> {
        read(document.to_string().as_bytes(), read_it).unwrap().1.places().to_vec()
    }

    #[test]
    fn what_is_as_documented_or_absent_is_not_noted() {
        let document =
            json!({"id": "C", "active": true, "at": "2026-05-11T09:41:00+01:00", "list": [{"text": "a"}], "no": null});
        let noted = places(&document, |root| {
            assert_eq!(root.get("id").id::<ChatId>(), Some("C".into()));
            assert_eq!(root.get("active").flag(), Some(true));
            assert_eq!(root.get("at").time(), Timestamp::parse("2026-05-11T08:41:00Z"));
            let texts: Vec<_> = root.get("list").items().filter_map(|item| item.get("text").text()).collect();
            assert_eq!(texts, ["a"]);
            assert_eq!(root.get("no").text().or(root.get("missing").get("deeper").text()), None);
            assert_eq!((root.get("no").flag(), root.get("no").items().count()), (None, 0));
        });
        assert_eq!(noted, Vec::<String>::new());
    }

    #[test]
    fn what_can_be_read_all_the_same_is_read_and_noted_by_its_place() {
        let document = json!({"id": 7, "active": "true", "at": "2026-05-11 09:41:00", "size": "5",
                              "list": [{"text": "a"}, {"text": 7}]});
        let noted = places(&document, |root| {
            assert_eq!(root.get("id").id_or_number::<ChatId>(), Some("7".into()));
            assert_eq!(root.get("active").flag(), Some(true));
            assert_eq!(root.get("at").time(), Timestamp::parse("2026-05-11T09:41:00Z"));
            assert_eq!(root.get("size").number(), Some(5));
            assert_eq!(
                root.get("list").items().filter_map(|item| item.get("text").text()).last().as_deref(),
                Some("7")
            );
        });
        assert_eq!(noted, ["id", "active", "at", "size", "list[1].text"]);
    }

    #[test]
    fn what_cannot_be_read_costs_that_field_and_nothing_of_it_is_told() {
        let canary = json!({"canary": ["canary"]});
        let document = json!({"id": canary, "active": "canary", "at": "canary", "list": "canary", "text": canary, "long": "x".repeat(401), "number": 7});
        let noted = places(&document, |root| {
            assert_eq!(root.get("id").id::<ChatId>().or(root.get("long").id()).or(root.get("number").id()), None);
            assert_eq!((root.get("active").flag(), root.get("at").time()), (None, None));
            assert_eq!((root.get("list").items().count(), root.get("text").text()), (0, None));
            assert_eq!(root.get("gone").needed(root.get("gone").text()), None);
        });
        assert_eq!(noted, ["id", "long", "number", "active", "at", "list", "text", "gone"]);
    }
}
