//! `hitl fleet connect`: new tenants from a file of answers.

use super::tenants::Tenant;
use crate::Io;
use crate::arguments::{BotcopyOptions, BotpressOptions, DeployOptions, FleetConnectOptions, TargetArguments};
use crate::output::{Answer, Failure};
use crate::target::Target;
use crate::{connect, deploy, doctor};

/// Creates the stack if there is a release to create it from, connects the vendors that have answers, and runs the doctor.
pub(crate) async fn run(tenant: &Tenant, options: &FleetConnectOptions, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let stack = TargetArguments { stack: Some(tenant.name.clone()), ..TargetArguments::default() };
    let target = match &options.from {
        Some(from) => {
            let release = DeployOptions {
                from: from.clone(),
                parameters: tenant.parameters.clone().into_iter().collect(),
                bucket: options.bucket.clone(),
                dry_run: false,
            };
            // This connects LiveChat as well.
            Box::pin(deploy::run(&stack, &release, io)).await?;
            Target::resolve(&stack, io).await?
        }
        None => {
            let target = tenant.target(io).await?;
            connect::livechat::run(&target, io).await?;
            target
        }
    };
    if tenant.has("BOTPRESS_PERSONAL_ACCESS_TOKEN") {
        connect::botpress::run(&target, &BotpressOptions::default(), io).await?;
    }
    if tenant.has("BOTCOPY_API_KEY") {
        connect::botcopy::run(&target, &BotcopyOptions::default(), io).await?;
    }
    Box::pin(doctor::run(&target, io)).await
}
