//! Customer tokens: the Customer Accounts API, version 2.

use std::time::Duration;

use ::http::{HeaderMap, Method, header};
use serde::Deserialize;
use serde_json::json;

use super::error::TOKEN_CALL;
use super::{Client, Error, Result};
use crate::http::{Body, Call, Failure, Request, missing, sensitive, url};
use crate::ids::CustomerId;
use crate::model::user::Cookies;
use crate::redacted::Redacted;

const CUSTOMER_COOKIE: &str = "__lc_cid";
const SECRET_COOKIE: &str = "__lc_cst";

/// A token to act as a customer, and the customer it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedToken {
    /// The token.
    pub access_token: Redacted,
    /// The customer. Compare it with the customer of the cookies that were sent: LiveChat answers cookies that it does not
    /// accept with a *new* customer and no error.
    pub customer_id: CustomerId,
    /// How long the token is valid; 8 hours unless LiveChat says otherwise.
    pub expires_in: Duration,
    /// The cookies to keep for the next token. `None` if LiveChat sent none: the ones that were sent stay valid.
    pub cookies: Option<Cookies>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Redacted,
    entity_id: CustomerId,
    #[serde(default)]
    expires_in: serde_json::Value,
}

/// In seconds: how long a token is valid unless LiveChat says otherwise.
const EIGHT_HOURS: u64 = 8 * 60 * 60;

impl Client {
    /// Issues a token by the cookie grant: for the customer of `cookies`, or for a new customer.
    ///
    /// # Errors
    ///
    /// [`Error`]; its code is one of the accounts service, such as `invalid_request` (a malformed parameter) or
    /// `unauthorized_client` (an unknown client id, or a redirect URI that is not on the app's whitelist).
    ///
    /// See LiveChat Docs, "Customer authorization flow".
    pub async fn issue_customer_token(&self, cookies: Option<&Cookies>) -> Result<IssuedToken> {
        // A repetition without cookies makes another customer; a customer without a chat does no harm.
        let call = Call::repeatable(TOKEN_CALL);
        let failed = |failure| Error::failed(call, failure);
        let request = self.token_request(cookies).map_err(failed)?;
        let answer = self.shared.http.send(request).await.map_err(failed)?;
        if !answer.status.is_success() {
            return Err(Error::refused_by_accounts(call, &answer));
        }
        let token: TokenAnswer = answer.decode().map_err(failed)?;
        let set = cookies_set(&answer.headers, &token.entity_id);
        if cookies.is_none() && set.is_none() {
            // The token could never be renewed for the same customer.
            return Err(failed(missing(SECRET_COOKIE)));
        }
        Ok(IssuedToken {
            cookies: set,
            access_token: token.access_token,
            customer_id: token.entity_id,
            expires_in: Duration::from_secs(token.expires_in.as_u64().unwrap_or(EIGHT_HOURS)),
        })
    }

    fn token_request(&self, cookies: Option<&Cookies>) -> Result<Request, Failure> {
        let settings = self.settings();
        let mut headers = HeaderMap::new();
        if let Some(Cookies { customer_id, secret }) = cookies {
            let pair = format!("{CUSTOMER_COOKIE}={customer_id}; {SECRET_COOKIE}={}", secret.expose());
            headers.insert(header::COOKIE, sensitive(&pair.into())?);
        }
        let body = Body::json(&json!({
            "grant_type": "cookie",
            "response_type": "token",
            "client_id": settings.client_id,
            "organization_id": settings.organization_id,
            "redirect_uri": settings.redirect_uri,
        }))?;
        Ok(Request {
            method: Method::POST,
            url: url(&settings.accounts_url, &["v2", "customer", "token"])?,
            headers,
            body,
        })
    }
}

/// The cookies that an answer sets; the customer's id is also in its body, so the secret alone is enough.
fn cookies_set(headers: &HeaderMap, customer_id: &CustomerId) -> Option<Cookies> {
    let secret = cookie(headers, SECRET_COOKIE)?;
    let customer_id = cookie(headers, CUSTOMER_COOKIE).unwrap_or(customer_id.as_str());
    Some(Cookies { customer_id: customer_id.to_owned(), secret: secret.into() })
}

/// The value that a cookie is set to; an empty value deletes a cookie and counts as `None`.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let set = headers.get_all(header::SET_COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut values = set.filter_map(|line| {
        let (found, value) = line.split(';').next()?.split_once('=')?;
        (found.trim() == name).then_some(value.trim())
    });
    values.next_back().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;
    use wiremock::matchers::{body_json, header as sent_header, method, path};
    use wiremock::{Mock, MockBuilder, MockServer, ResponseTemplate};

    use super::super::testing::{ORGANIZATION, client};
    use super::*;

    const CUSTOMER: &str = "b7eff798-f8df-4364-8059-649c35c9ed0c";
    const ATTRIBUTES: &str = "Path=/v2/customer; Domain=accounts.livechat.com; Max-Age=63072000; HttpOnly; Secure";

    fn token_call() -> MockBuilder {
        Mock::given(method("POST")).and(path("/v2/customer/token")).and(body_json(json!({
            "grant_type": "cookie",
            "response_type": "token",
            "client_id": "0123456789abcdef",
            "organization_id": ORGANIZATION,
            "redirect_uri": "https://bridge.example/callback",
        })))
    }

    fn issued() -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_json(json!({
            "access_token": "dal:abc", "entity_id": CUSTOMER, "expires_in": 28800, "token_type": "Bearer",
            "organization_id": ORGANIZATION,
        }))
    }

    #[tokio::test]
    async fn a_new_customer_comes_with_the_cookies_to_be_recognised_by() {
        let server = MockServer::start().await;
        let answer = issued()
            .append_header("set-cookie", format!("__lc_cid={CUSTOMER}; {ATTRIBUTES}"))
            .append_header("set-cookie", format!("__lc_cst=5ec7e7; {ATTRIBUTES}"));
        token_call().respond_with(answer).expect(1).mount(&server).await;
        let token = client(&server.uri()).issue_customer_token(None).await.unwrap();
        let expected = IssuedToken {
            access_token: "dal:abc".into(),
            customer_id: CUSTOMER.into(),
            expires_in: Duration::from_secs(28_800),
            cookies: Some(Cookies { customer_id: CUSTOMER.to_owned(), secret: "5ec7e7".into() }),
        };
        assert_eq!(token, expected);
        let requests = server.received_requests().await.unwrap();
        assert!(!requests[0].headers.contains_key("cookie") && !requests[0].headers.contains_key("authorization"));
        let output = format!("{token:?}");
        assert!(!output.contains("abc") && !output.contains("5ec7e7"), "{output}");
    }

    #[tokio::test]
    async fn the_same_customer_is_recognised_by_both_cookies() {
        let server = MockServer::start().await;
        token_call()
            .and(sent_header("cookie", format!("__lc_cid={CUSTOMER}; __lc_cst=5ec7e7").as_str()))
            .respond_with(issued())
            .expect(1)
            .mount(&server)
            .await;
        let cookies = Cookies { customer_id: CUSTOMER.to_owned(), secret: "5ec7e7".into() };
        let token = client(&server.uri()).issue_customer_token(Some(&cookies)).await.unwrap();
        assert_eq!((token.customer_id.as_str(), token.cookies), (CUSTOMER, None));
    }

    #[tokio::test]
    async fn a_flat_error_of_the_accounts_service_keeps_its_code_and_sentence() {
        let server = MockServer::start().await;
        let body = json!({"oauth_exception": "unauthorized_client", "exception_description": "bad redirect"});
        token_call().respond_with(ResponseTemplate::new(401).set_body_json(body)).mount(&server).await;
        let error = client(&server.uri()).issue_customer_token(None).await.unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "LiveChat refused customer/token: unauthorized_client, status 401: bad redirect"
        );
        assert!(!error.is_retryable() && !error.is_authentication() && error.is_account_refused());
    }

    #[tokio::test]
    async fn a_token_of_a_new_customer_without_cookies_is_as_good_as_no_answer() {
        let server = MockServer::start().await;
        for (answer, expected) in
            [(issued(), "__lc_cst"), (ResponseTemplate::new(200).set_body_string("<html>"), "not valid JSON")]
        {
            server.reset().await;
            token_call().respond_with(answer).mount(&server).await;
            let error = client(&server.uri()).issue_customer_token(None).await.unwrap_err();
            assert!(error.is_retryable() && error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn cookies_are_found_among_others_and_in_any_form() {
        let of = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::SET_COOKIE, HeaderValue::from_static(line));
            }
            cookies_set(&headers, &"body".into()).map(|cookies| (cookies.customer_id, cookies.secret.into_inner()))
        };
        let pair = |id: &str, secret: &str| Some((id.to_owned(), secret.to_owned()));
        assert_eq!(of(&["__lc_cst=s=1==; Path=/", "other=1", "__lc_cid=c"]), pair("c", "s=1=="));
        assert_eq!(of(&["__lc_cst=s"]), pair("body", "s"));
        assert_eq!(of(&["__lc_cst=old", "__lc_cst=new"]), pair("body", "new"));
        assert_eq!(of(&["__lc_cid=c"]), None);
        assert_eq!(of(&["__lc_cst=; Max-Age=0", "__lc_cid=c"]), None);
        assert_eq!(of(&["x__lc_cst=s", "__lc_cst"]), None);
        assert_eq!(of(&[]), None);
    }
}
