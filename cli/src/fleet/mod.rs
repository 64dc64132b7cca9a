//! `hitl fleet`: the commands for one stack, run on many.

mod connect;
mod crew;
mod rows;
mod tenants;
mod upgrade;

use serde_json::{Value, json};

use self::crew::Crew;
use self::rows::{Row, State, Table};
use self::tenants::Tenant;
use crate::arguments::{FleetCommand, FleetOptions, StatsOptions, TargetArguments};
use crate::output::{Answer, Failure};
use crate::{Io, cost, doctor, rotate, stats};

/// Works on all stacks of the fleet, and returns a table of them.
pub(crate) async fn run(
    arguments: &TargetArguments,
    options: &FleetOptions,
    io: &mut Io<'_>,
) -> Result<Answer, Failure> {
    refuse_other_targets(arguments)?;
    if matches!(options.what, FleetCommand::Connect(_)) && options.tenants.is_none() {
        return Err(Failure::stopped("pass --tenants with the file of the tenants to connect."));
    }
    let (tenants, unknown) = tenants::find(options, io).await?;
    if tenants.is_empty() && unknown.is_empty() {
        return Err(Failure::refused(format!(
            "no stack has the tag {}. hitl deploy sets it on each stack that it creates or upgrades; --tenants names a file of \
             stacks instead.",
            options.tag
        )));
    }
    let shows_lines =
        !matches!(options.what, FleetCommand::Doctor | FleetCommand::Cost(_) | FleetCommand::Stats { .. });
    let crew = Crew::new(options.at_once, tenants.len(), shows_lines);
    let rows = work(&options.what, &tenants, &crew, io).await?;
    let unknown = unknown.iter().map(|(tenant, failure)| Row::failed(tenant, failure));
    let mut table = Table::new(unknown.chain(rows).collect());
    if let FleetCommand::Cost(_) = options.what {
        table.together = Some(sum(table.rows()));
    }
    Ok(table.answer())
}

/// Refuses options for one stack: they would be ignored, or would point all tenants at one table.
fn refuse_other_targets(arguments: &TargetArguments) -> Result<(), Failure> {
    let TargetArguments { stack, stack_file, sandbox, table, secret, url } = arguments;
    let one = [stack, sandbox, table, secret, url].into_iter().any(Option::is_some) || stack_file.is_some();
    match one {
        true => Err(Failure::stopped(
            "hitl fleet finds its stacks by --tag or in the file of --tenants; --only NAME selects one of them.",
        )),
        false => Ok(()),
    }
}

async fn work(what: &FleetCommand, tenants: &[Tenant], crew: &Crew, io: &mut Io<'_>) -> Result<Vec<Row>, Failure> {
    Ok(match what {
        FleetCommand::Upgrade(options) => Box::pin(upgrade::run(tenants, options, crew, io)).await?,
        FleetCommand::Doctor => {
            let examine =
                async |tenant: &Tenant, io: &mut Io<'_>| Box::pin(doctor::run(&tenant.target(io).await?, io)).await;
            crew.each(tenants, io, async |tenant, io| Row::of(tenant, examine(tenant, io).await, findings)).await
        }
        FleetCommand::Connect(options) => {
            crew.each(tenants, io, async |tenant, io| {
                Row::of(tenant, connect::run(tenant, options, io).await, findings)
            })
            .await
        }
        FleetCommand::Rotate { what, now } => {
            let rotate = async |tenant: &Tenant, io: &mut Io<'_>| {
                Box::pin(rotate::run(&tenant.target(io).await?, *what, *now, io)).await
            };
            crew.each(tenants, io, async |tenant, io| Row::of(tenant, rotate(tenant, io).await, rotated)).await
        }
        FleetCommand::Cost(options) => {
            let cost =
                async |tenant: &Tenant, io: &mut Io<'_>| cost::cost(&tenant.target(io).await?, options, io).await;
            crew.each(tenants, io, async |tenant, io| Row::of(tenant, cost(tenant, io).await, costs)).await
        }
        FleetCommand::Stats { days } => {
            let options = StatsOptions { days: *days, csv: false };
            let stats =
                async |tenant: &Tenant, io: &mut Io<'_>| stats::run(&tenant.target(io).await?, &options, io).await;
            crew.each(tenants, io, async |tenant, io| Row::of(tenant, stats(tenant, io).await, figures)).await
        }
    })
}

/// Returns the findings of a doctor's report, one a line.
fn findings(report: &Value) -> (String, Vec<String>) {
    let checks = report.get("checks").and_then(Value::as_array).into_iter().flatten();
    let found = checks.filter(|check| text(check, "verdict") == "finding");
    let notes: Vec<_> = found.map(|check| format!("{}: {}", text(check, "name"), text(check, "says"))).collect();
    let skipped = report.get("skipped").and_then(Value::as_u64).unwrap_or_default();
    let line = match (notes.len(), skipped) {
        (0, 0) => "everything is in order".to_owned(),
        (0, skipped) => format!("no findings, {skipped} checks skipped"),
        (1, _) => "one finding".to_owned(),
        (more, _) => format!("{more} findings"),
    };
    (line, notes)
}

fn rotated(answer: &Value) -> (String, Vec<String>) {
    let until = answer.get("previous_accepted_until").and_then(Value::as_str);
    let until = until.map_or_else(String::new, |until| format!("; the previous one is accepted until {until}"));
    (format!("the {} was replaced{until}", text(answer, "what")), Vec::new())
}

/// Formats a bill in one line.
fn costs(bill: &Value) -> (String, Vec<String>) {
    let sums = bill.get("sums").and_then(Value::as_object).into_iter().flatten();
    let sums: Vec<_> = sums.map(|(vendor, usd)| format!("{vendor} {:.2}", number(usd))).collect();
    (format!("{:>10.2} USD: {}", usd(bill), sums.join(", ")), Vec::new())
}

fn sum(rows: &[Row]) -> (&'static str, Value, String) {
    let usd: f64 = rows.iter().map(|row| usd(&row.answer)).sum();
    let failed = rows.iter().any(|row| row.state != State::Ok);
    let without = if failed { ", without the stacks that could not be read" } else { "" };
    ("usd", json!(usd), format!("Sum, USD: {usd:.2}{without}."))
}

fn usd(bill: &Value) -> f64 {
    bill.get("usd").map(number).unwrap_or_default()
}

/// Formats the figures of all sessions of a stack in one line.
fn figures(stats: &Value) -> (String, Vec<String>) {
    let all = stats.pointer("/figures/0").cloned().unwrap_or_default();
    let sessions = all.get("sessions").and_then(Value::as_u64).unwrap_or_default();
    let times = [("assigned", "time_to_assign"), ("answered", "time_to_first_answer"), ("handled", "handle_time")];
    let times = times.into_iter().filter_map(|(word, name)| {
        let seconds = |name: &str| all.pointer(name).map(number);
        let (median, p95) = (seconds(&format!("/{name}/median"))?, seconds(&format!("/{name}/p95"))?);
        Some(format!(", {word} {median:.1} s ({p95:.1} s)"))
    });
    (format!("{sessions} sessions{}", times.collect::<String>()), Vec::new())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}
