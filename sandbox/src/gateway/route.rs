//! The routing of requests to functions.

use std::collections::BTreeMap;

use http::Method;

use crate::function::Function;

/// One line of the gateway's table: `POST /botpress/{key}` and its function.
#[derive(Clone, Debug)]
pub struct Route {
    method: Method,
    pattern: String,
    pub(super) function: Function,
}

impl Route {
    /// Sends requests with this method and a path that matches `pattern` to `function`.
    ///
    /// A segment in braces matches any single non-empty segment and names a path parameter: `/botpress/{key}`.
    pub fn new(method: Method, pattern: &str, function: Function) -> Self {
        Self { method, pattern: pattern.to_owned(), function }
    }

    /// The service's name for the route: `POST /botpress/{key}`.
    pub(super) fn key(&self) -> String {
        format!("{} {}", self.method, self.pattern)
    }

    /// The path parameters of a matching request, or `None`.
    pub(super) fn parameters(&self, method: &Method, path: &str) -> Option<BTreeMap<String, String>> {
        if self.method != method || self.pattern.split('/').count() != path.split('/').count() {
            return None;
        }
        let mut parameters = BTreeMap::new();
        for (expected, given) in self.pattern.split('/').zip(path.split('/')) {
            match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) if !given.is_empty() => {
                    parameters.insert(name.to_owned(), given.to_owned());
                }
                None if expected == given => {}
                _ => return None,
            }
        }
        Some(parameters)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;
    use shared::clock::Clock;

    use super::*;

    #[test]
    fn a_route_fits_its_method_and_whole_path_only() {
        let nothing = Function::in_process("f", Duration::from_secs(1), Clock::system(), |_| async { Ok(Value::Null) });
        let route = Route::new(Method::POST, "/botpress/{key}", nothing);
        assert_eq!(route.key(), "POST /botpress/{key}");
        let found = route.parameters(&Method::POST, "/botpress/a b").unwrap();
        assert_eq!(found.get("key").map(String::as_str), Some("a b"));
        for path in ["/botpress", "/botpress/", "/botpress/a/", "/botpress/a/b", "/other/a", "/"] {
            assert_eq!(route.parameters(&Method::POST, path), None, "{path}");
        }
        assert_eq!(route.parameters(&Method::GET, "/botpress/a"), None);
    }
}
