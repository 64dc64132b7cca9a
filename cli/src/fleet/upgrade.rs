//! `hitl fleet upgrade`: a release for all stacks, a share of them first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::crew::Crew;
use super::rows::{Row, State};
use super::tenants::Tenant;
use crate::Io;
use crate::arguments::UpgradeOptions;
use crate::deploy::answers::{parameters, revised};
use crate::deploy::release::Release;
use crate::deploy::{Cloud, Scratch, Wanted};
use crate::output::Failure;

/// The alarms that make CodeDeploy roll a new version back; one that is on before would stop the upgrade half-way.
const ROLLBACK: [&str; 4] = ["HealthAlarm", "ApiErrorsAlarm", "ActionsErrorsAlarm", "WebhooksErrorsAlarm"];

/// How often the alarms of the first stacks are read.
const LOOK: Duration = Duration::from_secs(60);

/// The order of the stacks: a share of them first, until that many have been upgraded, then all others.
#[derive(Debug)]
struct Order {
    share: usize,
    upgraded: usize,
}

impl Order {
    /// `share` is in percent.
    fn new(stacks: usize, share: u8) -> Self {
        Self { share: (stacks * usize::from(share)).div_ceil(100).max(1), upgraded: 0 }
    }

    const fn is_canary(&self) -> bool {
        self.upgraded < self.share
    }

    /// Returns how many waiting stacks are next. A stack that needed no upgrade proves nothing, so another one takes its place.
    fn next(&self, waiting: usize, at_once: usize) -> usize {
        let wanted = if self.is_canary() { self.share - self.upgraded } else { waiting };
        wanted.min(at_once).min(waiting)
    }
}

/// A release in the buckets of all regions.
struct Depot<'a> {
    release: &'a Release,
    options: &'a UpgradeOptions,
    _folder: Scratch,
    regions: BTreeMap<Option<String>, Result<(Cloud, PathBuf), String>>,
}

impl<'a> Depot<'a> {
    /// Puts the packages into each region's bucket, once.
    async fn fill(
        tenants: &[Tenant],
        release: &'a Release,
        options: &'a UpgradeOptions,
        io: &mut Io<'_>,
    ) -> Result<Self, Failure> {
        let folder = Scratch::new()?;
        let named: BTreeSet<_> = tenants.iter().map(|tenant| tenant.region.clone()).collect();
        let mut regions = BTreeMap::new();
        for (number, region) in named.into_iter().enumerate() {
            let template = folder.file(&format!("packaged-{number}.yaml"));
            let filled = Self::fill_region(region.as_deref(), release, options, &template, io).await;
            regions.insert(region, filled.map(|cloud| (cloud, template)).map_err(|failure| failure.to_string()));
        }
        Ok(Self { release, options, _folder: folder, regions })
    }

    async fn fill_region(
        region: Option<&str>,
        release: &Release,
        options: &UpgradeOptions,
        template: &std::path::Path,
        io: &mut Io<'_>,
    ) -> Result<Cloud, Failure> {
        let there = io.aws.in_region(region);
        let aws = std::mem::replace(&mut io.aws, there);
        let cloud = Cloud::find(String::new(), options.bucket.as_deref(), io).await;
        io.aws = aws;
        let cloud = cloud?;
        io.say(&format!("putting the packages into the bucket {}", cloud.bucket));
        cloud.package(release, template).await?;
        Ok(cloud)
    }

    /// Brings one stack to the release; the row records whether that took a change.
    async fn upgrade(&self, tenant: &Tenant, io: &mut Io<'_>) -> Row {
        match self.try_to_upgrade(tenant, io).await {
            Ok(row) => row,
            Err(failure) => Row::failed(tenant, &failure),
        }
    }

    async fn try_to_upgrade(&self, tenant: &Tenant, io: &mut Io<'_>) -> Result<Row, Failure> {
        let place = self
            .regions
            .get(&tenant.region)
            .ok_or_else(|| Failure::stopped("the release's packages are not in the region's bucket."))?;
        let (cloud, template) = place.as_ref().map_err(Failure::stopped)?;
        let cloud = cloud.of_stack(tenant.name.clone());
        let Some(existing) = cloud.existing().await? else {
            return Err(Failure::stopped("the stack does not exist."));
        };
        if let Some(obstacle) = existing.obstacle(&tenant.name) {
            return Ok(Row::new(tenant, State::Finding, obstacle.to_string()));
        }
        let on = cloud.alarms().await?;
        if let Some(alarm) = on.iter().find(|alarm| ROLLBACK.contains(&alarm.as_str())) {
            return Ok(Row::new(tenant, State::Finding, held(alarm)));
        }
        let given = revised(tenant.parameters.clone(), &existing.parameters, &self.release.parameters);
        let entries = parameters(&self.release.parameters, &given, &existing.parameters)?;
        let template = template.clone();
        let wanted = Wanted { is_new: existing.is_empty(), parameters: entries, tags: existing.tags(), template };
        let Some(changes) = cloud.change_set(&wanted, io).await? else {
            return Ok(Row::new(tenant, State::Ok, "already has the release"));
        };
        if self.options.dry_run {
            cloud.forget(false, true).await?;
            let row = Row::new(tenant, State::Ok, format!("{} resources would change", changes.len()));
            return Ok(Row { answer: json!({ "changes": changes }), ..row });
        }
        cloud.execute(&changes, io).await?;
        let row = Row::new(tenant, State::Ok, format!("upgraded: {} resources changed", changes.len()));
        Ok(Row { answer: json!({ "upgraded": true, "changes": changes, "alarms_before": on }), ..row })
    }

    /// Returns the row of an upgraded stack, replaced by a failure if an alarm has gone off since.
    async fn look(&self, tenant: &Tenant, row: Row) -> Row {
        let cloud = self.regions.get(&tenant.region).and_then(|place| place.as_ref().ok());
        let Some((cloud, _)) = cloud.filter(|_| is_upgraded(&row)) else { return row };
        match cloud.of_stack(tenant.name.clone()).alarms().await {
            // The next look reads them again; the stack counts as healthy until then.
            Err(failure) => Row { notes: vec![format!("its alarms could not be read: {failure}")], ..row },
            Ok(on) => match on.iter().find(|alarm| !was_on(&row, alarm)) {
                Some(alarm) => {
                    let says = format!("upgraded, and {alarm} has gone off since: hitl --stack {} doctor", tenant.name);
                    Row { answer: row.answer, ..Row::new(tenant, State::Failed, says) }
                }
                None => row,
            },
        }
    }
}

fn held(alarm: &str) -> String {
    format!(
        "not upgraded: {alarm} is on and would roll the new version back. hitl doctor names the cause; hitl deploy --parameter \
         Rollback=no upgrades anyway"
    )
}

fn is_upgraded(row: &Row) -> bool {
    row.state == State::Ok && row.answer.get("upgraded").is_some()
}

fn was_on(row: &Row, alarm: &str) -> bool {
    let before = row.answer.get("alarms_before").and_then(|before| before.as_array());
    before.is_some_and(|before| before.iter().any(|one| one.as_str() == Some(alarm)))
}

/// Upgrades the tenants until one of them fails.
pub(crate) async fn run(
    tenants: &[Tenant],
    options: &UpgradeOptions,
    crew: &Crew,
    io: &mut Io<'_>,
) -> Result<Vec<Row>, Failure> {
    let release = Release::open(&options.from)?;
    let depot = Depot::fill(tenants, &release, options, io).await?;
    if options.dry_run {
        return Ok(crew.each(tenants, io, async |tenant, io| depot.upgrade(tenant, io).await).await);
    }
    let (mut rows, mut order) = (Vec::new(), Order::new(tenants.len(), options.canary));
    let mut waiting = tenants;
    while !waiting.is_empty() {
        let is_canary = order.is_canary();
        let (wave, rest) = waiting.split_at(order.next(waiting.len(), crew.at_once));
        let mut done = crew.each(wave, io, async |tenant, io| depot.upgrade(tenant, io).await).await;
        order.upgraded += done.iter().filter(|row| is_upgraded(row)).count();
        done = look_at_all(&depot, wave, done).await;
        rows.append(&mut done);
        waiting = rest;
        if is_canary && !order.is_canary() && !waiting.is_empty() {
            let seen = tenants.split_at(rows.len()).0;
            rows = watch(&depot, seen, rows, crew, io).await;
        }
        let against = rows.iter().find(|row| row.state == State::Failed);
        let why = match against {
            Some(row) => format!("not started because {} failed", row.stack),
            None if crew.is_interrupted() => "not started: interrupted".to_owned(),
            None => continue,
        };
        rows.extend(waiting.iter().map(|tenant| Row::not_begun(tenant, &why)));
        break;
    }
    Ok(rows)
}

async fn look_at_all(depot: &Depot<'_>, tenants: &[Tenant], rows: Vec<Row>) -> Vec<Row> {
    let mut seen = Vec::with_capacity(rows.len());
    for (tenant, row) in tenants.iter().zip(rows) {
        seen.push(depot.look(tenant, row).await);
    }
    seen
}

/// Watches the alarms of the first stacks until the time is over or one of them goes off.
async fn watch(depot: &Depot<'_>, tenants: &[Tenant], mut rows: Vec<Row>, crew: &Crew, io: &mut Io<'_>) -> Vec<Row> {
    let end = io.clock.now() + Duration::from_secs(60 * u64::from(depot.options.watch));
    while io.clock.now() < end && !crew.is_interrupted() && rows.iter().all(|row| row.state != State::Failed) {
        let left = end.since(io.clock.now());
        io.say(&format!("watching the alarms of the first stacks: {} s to go", left.as_secs().max(1)));
        crew.pause(LOOK.min(left), io).await;
        rows = look_at_all(depot, tenants, rows).await;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_comes_first_and_a_stack_that_needed_nothing_is_not_of_it() {
        let mut order = Order::new(30, 10);
        assert_eq!((order.is_canary(), order.next(30, 8)), (true, 3));
        order.upgraded = 2;
        assert_eq!((order.is_canary(), order.next(27, 8)), (true, 1), "one was at the release already");
        order.upgraded = 3;
        assert_eq!((order.is_canary(), order.next(26, 8), order.next(5, 8)), (false, 8, 5));
        assert_eq!(Order::new(1, 10).share, 1);
        assert_eq!(Order::new(100, 100).next(100, 8), 8);
    }
}
