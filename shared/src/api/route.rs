//! A function's routes, as data: its dispatch, the sandbox's gateway and the check of `template.yaml` read the same list.

use http::Method;

/// A method and a path's pattern, `POST /botpress/{key}`, and the endpoint that serves them.
///
/// A segment in braces matches any one segment; a pattern has at most one such segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<T> {
    /// The method.
    pub method: Method,
    /// The path in API Gateway's notation: `/botpress/{key}`.
    pub pattern: &'static str,
    /// The endpoint.
    pub endpoint: T,
}

impl<T> Route<T> {
    /// Makes a route.
    pub const fn new(method: Method, pattern: &'static str, endpoint: T) -> Self {
        Self { method, pattern, endpoint }
    }

    /// The segment that matches the pattern's braces if a request is for this route; empty for a pattern without braces.
    ///
    /// The last segments decide, so that a stage in front of them does no harm.
    fn parameter<'p>(&self, method: &Method, path: &'p str) -> Option<&'p str> {
        let mut segments = path.trim_matches('/').rsplit('/');
        let mut parameter = "";
        for expected in self.pattern.trim_matches('/').rsplit('/') {
            let segment = segments.next()?;
            match expected.starts_with('{') {
                true => parameter = segment,
                false if segment == expected => {}
                false => return None,
            }
        }
        (self.method == *method).then_some(parameter)
    }
}

/// The endpoint for a request, and the segment that matches the pattern's braces.
pub fn find<'p, T: Copy>(routes: &[Route<T>], method: &Method, path: &'p str) -> Option<(T, &'p str)> {
    routes.iter().find_map(|route| Some((route.endpoint, route.parameter(method, path)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_segments_decide() {
        let routes = [Route::new(Method::GET, "/health", 'h'), Route::new(Method::POST, "/botpress/{key}", 'b')];
        for (path, key) in [("/botpress/k", "k"), ("/stage/botpress/k/", "k"), ("/botpress/botpress", "botpress")] {
            assert_eq!(find(&routes, &Method::POST, path), Some(('b', key)), "{path}");
            assert_eq!(find(&routes, &Method::GET, path), None, "{path}");
        }
        assert_eq!(find(&routes, &Method::GET, "/v1/health"), Some(('h', "")));
        for path in ["", "/", "/botpress", "/botpress/", "/botpress/k/more", "/other/k", "/health/of"] {
            assert_eq!(find(&routes, &Method::POST, path), None, "{path}");
            assert_eq!(find(&routes, &Method::GET, path), None, "{path}");
        }
    }
}
