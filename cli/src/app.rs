//! Advice for when LiveChat does not accept the app: client id, redirect URI or organization.

use shared::{handoff, livechat};

const CLIENT: &str = "Compare LIVECHAT_CLIENT_ID (parameter LiveChatClientId) with the app's client id in LiveChat's developer console; \
                      an app that was removed there is refused in the same way.";
const REDIRECT: &str = "In LiveChat's developer console list this redirect URI in the app (App authorization), or set \
                        LIVECHAT_REDIRECT_URI (parameter LiveChatRedirectUri) to a listed one: it needs the same scheme and host, \
                        and the listed path as its prefix.";
const ORGANIZATION: &str = "Compare LIVECHAT_ORGANIZATION_ID (parameter LiveChatOrganizationId) with Settings, Account at LiveChat; \
                            a licence that has expired is refused in the same way.";
const PASSING: &str = "Try again; if the error persists, check LiveChat's status page.";

/// Returns the cure for a refusal, as far as LiveChat reports what it refused.
pub(crate) fn cure(error: &livechat::Error) -> String {
    let Some(refusal) = error.refusal() else { return PASSING.to_owned() };
    of_refusal(refusal.code.as_deref(), &refusal.message.as_deref().unwrap_or_default().to_lowercase())
}

/// Returns the cure for an error of the functions' own check.
pub(crate) fn cure_of_check(error: &handoff::Error) -> String {
    match error {
        handoff::Error::LiveChat(refused) => cure(refused),
        handoff::Error::Explained { cause, .. } => cure_of_check(cause),
        handoff::Error::Store(_) => "Check the table.".to_owned(),
        handoff::Error::Secrets(_) => "Check the secret.".to_owned(),
        _ => PASSING.to_owned(),
    }
}

/// An unknown client id and an unknown redirect URI have the same code. Only the message, which is not documented, distinguishes them.
fn of_refusal(code: Option<&str>, message: &str) -> String {
    let named = |word: &str| message.contains(word);
    match code {
        Some("access_denied" | "forbidden" | "resource_not_found") => ORGANIZATION.to_owned(),
        Some("unauthorized_client" | "invalid_client" | "invalid_request") if named("redirect") => REDIRECT.to_owned(),
        Some("unauthorized_client" | "invalid_client" | "invalid_request") if named("organization") => {
            ORGANIZATION.to_owned()
        }
        Some("unauthorized_client" | "invalid_client") if named("client") => CLIENT.to_owned(),
        Some("unauthorized_client" | "invalid_client") => format!("{CLIENT} {REDIRECT}"),
        Some("invalid_request" | "bad_request") => format!("{CLIENT} {ORGANIZATION} {REDIRECT}"),
        _ => PASSING.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_what_livechat_has_refused_and_nothing_else() {
        let cases = [
            (Some("unauthorized_client"), "redirect_uri is not whitelisted", "LIVECHAT_REDIRECT_URI"),
            (Some("unauthorized_client"), "client_id is not known", "LIVECHAT_CLIENT_ID"),
            (Some("access_denied"), "", "LIVECHAT_ORGANIZATION_ID"),
            (Some("invalid_request"), "organization_id is malformed", "LIVECHAT_ORGANIZATION_ID"),
            (Some("temporarily_unavailable"), "", "status page"),
            (None, "", "status page"),
        ];
        let all = ["LIVECHAT_REDIRECT_URI", "LIVECHAT_CLIENT_ID", "LIVECHAT_ORGANIZATION_ID", "status page"];
        for (code, message, expected) in cases {
            let cure = of_refusal(code, message);
            let named: Vec<_> = all.into_iter().filter(|one| cure.contains(one)).collect();
            assert_eq!(named, [expected], "{code:?} {message}");
        }
        let both = of_refusal(Some("unauthorized_client"), "");
        assert!(both.contains("LIVECHAT_CLIENT_ID") && both.contains("LIVECHAT_REDIRECT_URI"), "{both}");
    }
}
