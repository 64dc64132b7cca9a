//! Reads the parameters of a call, and words its errors as the vendor does.

use serde_json::{Map, Value};

use super::errors::Error;

/// The parameters of a call, or one object among them. Unknown ones are ignored; `null` counts as absent.
#[derive(Clone, Debug)]
pub(crate) struct Params<'a> {
    fields: &'a Map<String, Value>,
    path: String,
}

impl<'a> Params<'a> {
    pub(crate) fn of(body: &'a Value) -> Result<Self, Error> {
        let fields = body.as_object().ok_or_else(|| Error::validation("Wrong format of request"))?;
        Ok(Self { fields, path: String::new() })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// All fields as received.
    pub(crate) fn fields(&self) -> &'a Map<String, Value> {
        self.fields
    }

    pub(crate) fn value(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&'a Value, Error> {
        self.value(name).ok_or_else(|| Error::validation(format!("`{}{name}` is required", self.path)))
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a str, Error> {
        self.required(name)?;
        match self.optional_text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(Error::validation(format!("`{}{name}` is required", self.path))),
        }
    }

    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.typed(name, "string", Value::as_str)
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        self.typed(name, "boolean", Value::as_bool)
    }

    pub(crate) fn integer(&self, name: &str) -> Result<Option<u64>, Error> {
        self.typed(name, "non-negative integer", Value::as_u64)
    }

    pub(crate) fn list(&self, name: &str) -> Result<Option<&'a [Value]>, Error> {
        self.typed(name, "array", |value| value.as_array().map(Vec::as_slice))
    }

    pub(crate) fn object(&self, name: &str) -> Result<Self, Error> {
        self.required(name)?;
        self.optional_object(name)?.ok_or_else(|| Error::validation(format!("`{}{name}` is required", self.path)))
    }

    pub(crate) fn optional_object(&self, name: &str) -> Result<Option<Self>, Error> {
        let fields = self.typed(name, "object", Value::as_object)?;
        Ok(fields.map(|fields| Self { fields, path: format!("{}{name}.", self.path) }))
    }

    /// The objects of a list; empty if the list is absent.
    pub(crate) fn objects(&self, name: &str) -> Result<Vec<Self>, Error> {
        let items = self.list(name)?.unwrap_or_default().iter().enumerate();
        items
            .map(|(index, item)| {
                let path = format!("{}{name}[{index}].", self.path);
                let fields =
                    item.as_object().ok_or_else(|| Error::validation(format!("`{path}` must be an object")))?;
                Ok(Self { fields, path })
            })
            .collect()
    }

    /// The texts of a list, if present.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Error> {
        self.elements(name, "strings", |value| value.as_str().map(str::to_owned))
    }

    /// The group ids of a list, if present.
    pub(crate) fn group_ids(&self, name: &str) -> Result<Option<Vec<u32>>, Error> {
        self.elements(name, "integers", |value| value.as_u64().and_then(|id| u32::try_from(id).ok()))
    }

    /// One of `allowed`, if present.
    pub(crate) fn choice(&self, name: &str, allowed: &[&str]) -> Result<Option<&'a str>, Error> {
        match self.optional_text(name)? {
            Some(text) if !allowed.contains(&text) => {
                Err(Error::validation(format!("`{}{name}` must be one of: {}", self.path, allowed.join(", "))))
            }
            text => Ok(text),
        }
    }

    fn typed<T>(&self, name: &str, kind: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, Error> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let wrong = || Error::validation(format!("`{}{name}` must be of type {kind}", self.path));
        read(value).map(Some).ok_or_else(wrong)
    }

    fn elements<T>(&self, name: &str, kind: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<Vec<T>>, Error> {
        let wrong = || Error::validation(format!("`{}{name}` must be an array of {kind}", self.path));
        self.list(name)?.map(|items| items.iter().map(|item| read(item).ok_or_else(wrong)).collect()).transpose()
    }
}
