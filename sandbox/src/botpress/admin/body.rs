//! The closed bodies of `createIntegration` and `updateIntegration`.
//!
//! Source: the description of the API, `@botpress/api` 1.70.2; `.ci/conformance/described.sh` checks what is sent against the original.

use serde_json::{Map, Value};

use super::super::errors::Error;
use super::super::schema::{Field, Shape, check, optional, required};

const TITLE: Shape = Shape::TextUpTo(64);
const DESCRIPTION: Shape = Shape::TextUpTo(256);
const NAME: Shape = Shape::TextUpTo(200);
const SCRIPT: Shape = Shape::TextUpTo(2_000);
const WHETHER_CREATED: Shape =
    Shape::Closed(&[&[required("enabled", Shape::Flag), required("requiredTags", Shape::List(&Shape::Text))]]);

const TITLED: &[Field] = &[optional("title", TITLE), optional("description", DESCRIPTION)];
const WITH_SCHEMA: &[Field] = &[required("schema", Shape::Anything)];
const SCHEMA: Shape = Shape::Closed(&[WITH_SCHEMA]);
const ENTITY: Shape = Shape::Closed(&[TITLED, WITH_SCHEMA]);
const TAG: Shape = Shape::Closed(&[TITLED]);
const STATE: Shape =
    Shape::Closed(&[WITH_SCHEMA, &[required("type", Shape::OneOf(&["conversation", "user", "integration"]))]]);
const SWITCH: Shape = Shape::Closed(&[&[required("enabled", Shape::Flag)]]);
const NAMED: Shape = Shape::Closed(&[&[required("name", NAME)]]);
const INTERFACE: Shape = Shape::Closed(&[&[
    required("id", Shape::Text),
    optional("entities", Shape::Map(&NAMED)),
    optional("actions", Shape::Map(&NAMED)),
    optional("events", Shape::Map(&NAMED)),
    optional("channels", Shape::Map(&NAMED)),
]]);

/// The parts of a definition, both of a new one and of a change; in a change `null` removes an entry.
macro_rules! parts {
    ($entry:ident) => {
        &[
            optional("configuration", Shape::Closed(CONFIGURATION)),
            optional("configurations", Shape::Map($entry!(Shape::Closed(CONFIGURATION)))),
            optional("states", Shape::Map($entry!(STATE))),
            optional("events", Shape::Map($entry!(Shape::Closed(&[TITLED, WITH_SCHEMA, ATTRIBUTES])))),
            optional("actions", Shape::Map($entry!(Shape::Closed(&[TITLED, ACTION, ATTRIBUTES])))),
            optional("entities", Shape::Map($entry!(ENTITY))),
            optional("attributes", Shape::Map($entry!(NAME))),
            optional("identifier", Shape::Closed(IDENTIFIER)),
            optional(
                "channels",
                Shape::Map($entry!(Shape::Closed(&[
                    TITLED,
                    &[
                        required("messages", Shape::Map($entry!(SCHEMA))),
                        optional(
                            "conversation",
                            Shape::Closed(&[&[
                                optional("creation", WHETHER_CREATED),
                                optional("tags", Shape::Map($entry!(TAG))),
                            ]])
                        ),
                        optional("message", Shape::Closed(&[&[optional("tags", Shape::Map($entry!(TAG)))]])),
                    ]
                ]))),
            ),
            optional(
                "user",
                Shape::Closed(&[&[optional("creation", WHETHER_CREATED), optional("tags", Shape::Map($entry!(TAG)))]]),
            ),
            optional("interfaces", Shape::Map($entry!(INTERFACE))),
            optional("extraOperations", Shape::Map(&SWITCH)),
            optional("sdkVersion", NAME),
            optional("secrets", Shape::Map(&Shape::Nullable(&Shape::TextUpTo(20_000)))),
            optional("code", Shape::Text),
            optional("icon", Shape::Text),
            optional("readme", Shape::Text),
            optional("title", TITLE),
            optional("description", DESCRIPTION),
            optional("public", Shape::Flag),
            optional("visibility", Shape::OneOf(&["public", "private", "unlisted"])),
            optional("layers", Shape::List(&Shape::Text)),
        ]
    };
}

macro_rules! as_it_is {
    ($shape:expr) => {
        &$shape
    };
}

macro_rules! or_null {
    ($shape:expr) => {
        &Shape::Nullable(&$shape)
    };
}

const CONFIGURATION: &[&[Field]] = &[
    TITLED,
    &[
        optional("schema", Shape::Anything),
        optional(
            "identifier",
            Shape::Closed(&[&[
                optional("required", Shape::Flag),
                optional("linkTemplateScript", Shape::Nullable(&SCRIPT)),
            ]]),
        ),
    ],
];
const ACTION: &[Field] = &[
    optional("billable", Shape::Flag),
    optional("cacheable", Shape::Flag),
    required("input", SCHEMA),
    required("output", SCHEMA),
];
const ATTRIBUTES: &[Field] = &[optional("attributes", Shape::TextChanges)];
const IDENTIFIER: &[&[Field]] = &[&[
    optional("fallbackHandlerScript", Shape::Nullable(&SCRIPT)),
    optional("extractScript", Shape::Nullable(&SCRIPT)),
]];

const NEW: &[Field] = parts!(as_it_is);
const CHANGED: &[Field] = parts!(or_null);
const OF_NEW_ALONE: &[Field] =
    &[required("name", NAME), required("version", NAME), optional("url", Shape::Text), optional("dev", Shape::Flag)];
const OF_CHANGES_ALONE: &[Field] =
    &[optional("url", Shape::Nullable(&Shape::Text)), optional("maxExecutionTime", Shape::Whole(0, u64::MAX))];

/// Checks the body of a new integration.
pub(super) fn check_new(body: &Map<String, Value>) -> Result<(), Error> {
    closed(body, &Shape::Closed(&[NEW, OF_NEW_ALONE]))
}

/// Checks the body of a change, which has neither a name nor a version.
pub(super) fn check_change(body: &Map<String, Value>) -> Result<(), Error> {
    closed(body, &Shape::Closed(&[CHANGED, OF_CHANGES_ALONE]))
}

fn closed(body: &Map<String, Value>, shape: &Shape) -> Result<(), Error> {
    check(&Value::Object(body.clone()), shape, "body").map_err(Error::invalid)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_new_one_has_a_name_and_a_version_and_a_change_has_neither() {
        let named = object(json!({"name": "acme/x", "version": "1.0.0", "url": "https://a"}));
        assert!(check_new(&named).is_ok() && check_change(&named).is_err());
        let change = object(json!({"url": null, "actions": {"dance": null}, "maxExecutionTime": 5}));
        assert!(check_change(&change).is_ok() && check_new(&change).is_err());
    }

    #[test]
    fn parts_are_closed_as_deep_as_they_are_described() {
        for odd in [
            json!({"mood": "good"}),
            json!({"dev": true}),
            json!({"configuration": {"mood": "good"}}),
            json!({"actions": {"a": {"input": {"schema": {}}}}}),
            json!({"channels": {"hitl": {"messages": {"text": {"schema": {}, "mood": 1}}}}}),
            json!({"user": {"tags": {"id": {"label": "Id"}}}}),
            json!({"interfaces": {"hitl": {"id": "ifver_1", "states": {}}}}),
        ] {
            assert!(check_change(&object(odd.clone())).is_err(), "{odd}");
        }
    }
}
