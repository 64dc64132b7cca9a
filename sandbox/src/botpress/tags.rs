//! Tags: which are declared, how they change, how get-or-create compares them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::errors::Error;

pub(super) type Tags = BTreeMap<String, String>;

/// The declarations of the integration's definition; the API refuses anything undeclared.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Tags of users.
    pub user_tags: BTreeSet<String>,
    /// Tags of conversations on the channel `hitl`.
    pub conversation_tags: BTreeSet<String>,
    /// Tags of messages on the channel `hitl`.
    pub message_tags: BTreeSet<String>,
    /// Message types of the channel `hitl`.
    pub message_types: BTreeSet<String>,
    /// Whether images, audio and video may have a title, as from version 2.1.0 of the interface on.
    pub media_titles: bool,
    /// States as `(type, name)`; their payload schema is assumed to be open.
    pub states: BTreeSet<(String, String)>,
}

impl Default for Definition {
    fn default() -> Self {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            user_tags: set(&["id", "email"]),
            conversation_tags: set(&["id"]),
            message_tags: set(&["id"]),
            message_types: set(&["text", "image", "audio", "video", "file", "bloc"]),
            media_titles: true,
            states: BTreeSet::new(),
        }
    }
}

/// The maximum number of characters of a tag value.
const TAG_LENGTH: usize = 500;

/// Checks tags against the declared names.
pub(super) fn check_tags(tags: &Map<String, Value>, declared: &BTreeSet<String>) -> Result<(), Error> {
    for (name, value) in tags {
        if !declared.contains(name) {
            return Err(Error::invalid(format!("tag \"{name}\" is not declared in the definition of the integration")));
        }
        if value.as_str().is_some_and(|text| text.chars().count() > TAG_LENGTH) {
            return Err(Error::invalid(format!("tag \"{name}\" is longer than {TAG_LENGTH} characters")));
        }
    }
    Ok(())
}

/// Merges `changes` into `tags`; null and `""` remove a tag.
pub(super) fn merge_tags(tags: &mut Tags, changes: &Map<String, Value>) {
    for (name, value) in changes {
        match value.as_str() {
            Some(text) if !text.is_empty() => tags.insert(name.clone(), text.to_owned()),
            _ => tags.remove(name),
        };
    }
}

/// Returns whether get-or-create finds an object with `tags`: the `compared` ones of the wanted tags are equal.
///
/// With nothing to compare, nothing is found.
pub(super) fn is_same(tags: &Tags, wanted: &Map<String, Value>, compared: &[String]) -> bool {
    !compared.is_empty()
        && compared.iter().all(|name| wanted.get(name).and_then(Value::as_str) == tags.get(name).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn only_the_discriminating_tags_are_compared() {
        let tags = Tags::from([("id".to_owned(), "1".to_owned()), ("email".to_owned(), "old@x".to_owned())]);
        let wanted = map(json!({"id": "1", "email": "new@x"}));
        assert!(is_same(&tags, &wanted, &["id".to_owned()]));
        assert!(!is_same(&tags, &wanted, &["id".to_owned(), "email".to_owned()]));
        assert!(!is_same(&tags, &wanted, &[]));
    }

    #[test]
    fn null_and_empty_text_remove_a_tag() {
        let mut tags = Tags::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        merge_tags(&mut tags, &map(json!({"a": null, "b": "", "c": "3"})));
        assert_eq!(tags, Tags::from([("c".to_owned(), "3".to_owned())]));
    }
}
