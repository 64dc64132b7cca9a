//! The AWS account: how many invocations it runs at once.

use serde_json::Value;

use super::{Patient, Report};
use crate::Io;

const NAME: &str = "concurrency";

/// A new account may have no more than ten, which one burst of messages exhausts; docs/performance.md states what a tenant needs.
const LEAST: u64 = 50;

/// Asks the AWS CLI if it has described the stack as well; otherwise reports nothing.
pub(super) async fn look_at_concurrency(patient: &Patient<'_>, report: &mut Report, io: &mut Io<'_>) {
    let Some(aws) = &patient.target.aws else { return };
    io.say("asking the AWS CLI about the account");
    match aws.ask(&["lambda", "get-account-settings"]).await {
        Ok(settings) => read(&settings, report),
        Err(said) => report.skipped(NAME, format!("lambda:GetAccountSettings: {said}")),
    }
}

fn read(settings: &str, report: &mut Report) {
    let settings: Value = serde_json::from_str(settings).unwrap_or_default();
    let limit = |name: &str| settings.pointer(&format!("/AccountLimit/{name}")).and_then(Value::as_u64);
    match (limit("UnreservedConcurrentExecutions"), limit("ConcurrentExecutions")) {
        (Some(free), Some(all)) if free < LEAST => report.finding(
            NAME,
            format!("the account runs {free} invocations at once that are not reserved for a function, of {all} in total"),
            "Request more: Service Quotas, AWS Lambda, Concurrent executions (code L-B99A9384). docs/performance.md states what a \
             tenant needs.",
        ),
        (Some(free), Some(_)) => report.ok(NAME, format!("the account runs {free} invocations at once")),
        _ => report.skipped(NAME, "the AWS CLI's answer contains no limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn verdict(settings: &str) -> (Verdict, String) {
        let mut report = Report::default();
        read(settings, &mut report);
        let check = report.checks.remove(0);
        (check.verdict, check.says)
    }

    #[test]
    fn an_account_that_runs_few_invocations_at_once_is_named() {
        let settings = |free: u64| {
            format!(r#"{{"AccountLimit":{{"ConcurrentExecutions":1000,"UnreservedConcurrentExecutions":{free}}}}}"#)
        };
        assert_eq!(verdict(&settings(10)).0, Verdict::Finding);
        assert!(verdict(&settings(10)).1.contains("10 invocations at once"), "{}", verdict(&settings(10)).1);
        assert_eq!(verdict(&settings(LEAST)).0, Verdict::Ok);
        assert_eq!(verdict("{}").0, Verdict::Skipped);
        assert_eq!(verdict("").0, Verdict::Skipped);
    }
}
