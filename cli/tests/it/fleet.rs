//! Many stacks at once, in a simulated account.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::pin::pin;

use cli::{Aws, Echo, Io};
use sandbox::account::{Account, Stack, Trouble};
use sandbox::journal::digest;
use serde_json::{Value, json};
use tests::{ANNA, World};

use crate::operator::Ran;

const HERE: &str = Account::REGION;

/// An operator who runs `hitl fleet` in an account.
struct Fleet<'a> {
    world: &'a World,
    account: Account,
    folder: PathBuf,
}

impl<'a> Fleet<'a> {
    fn new(world: &'a World) -> Self {
        let folder = std::env::temp_dir().join(format!("fleet-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&folder).unwrap();
        Self { world, account: Account::default(), folder }
    }

    /// Returns a stack whose functions are the world's.
    fn stack(&self) -> Stack {
        let own = self.world.stack.operator_environment();
        let parameters = [
            ("LiveChatClientId", "LIVECHAT_CLIENT_ID"),
            ("LiveChatOrganizationId", "LIVECHAT_ORGANIZATION_ID"),
            ("LiveChatRedirectUri", "LIVECHAT_REDIRECT_URI"),
            ("LiveChatGroupId", "LIVECHAT_GROUP_ID"),
        ];
        let value = |variable: &str| own[variable].clone();
        let outputs = [
            ("TableName", value("TABLE_NAME")),
            ("SecretArn", value("SECRET_ID")),
            ("LiveChatWebhookUrl", format!("{}/livechat", value("HITL_URL"))),
        ];
        Stack {
            parameters: parameters.map(|(name, variable)| (name.to_owned(), value(variable))).into(),
            outputs: outputs.map(|(name, value)| (name.to_owned(), value)).into(),
            tags: [("livechat-hitl".to_owned(), "tenant".to_owned()), ("CostCenter".to_owned(), "7".to_owned())].into(),
            ..Stack::default()
        }
    }

    fn add(&self, names: &[&str]) {
        names.iter().for_each(|name| self.account.add(HERE, name, self.stack()));
    }

    /// Creates a release that differs from every other by `what`.
    fn release(&self, what: &str) -> String {
        let folder = self.folder.join(what);
        std::fs::create_dir(&folder).unwrap();
        let parameters = self.stack().parameters.into_keys().map(|name| format!("  {name}:\n")).collect::<String>();
        let files = [
            ("template.yaml", format!("# {what}\nParameters:\n{parameters}Resources:\n")),
            ("actions.zip", what.to_owned()),
            ("webhooks.zip", what.to_owned()),
        ];
        let mut sums = String::new();
        for (name, text) in files {
            std::fs::write(folder.join(name), &text).unwrap();
            sums.push_str(&format!("{}  {name}\n", digest(text.as_bytes())));
        }
        std::fs::write(folder.join("SHA256SUMS"), sums).unwrap();
        folder.to_str().unwrap().to_owned()
    }

    /// Writes a file of tenants that only its owner can read.
    fn tenants(&self, tenants: &Value) -> String {
        let file = self.folder.join(format!("tenants-{:08x}.json", fastrand::u32(..)));
        std::fs::write(&file, json!({ "tenants": tenants }).to_string()).unwrap();
        allow(&file, 0o600);
        file.to_str().unwrap().to_owned()
    }

    async fn run(&self, words: &[&str]) -> Ran {
        let own = self.world.stack.operator_environment();
        let aws = Aws::simulated(
            self.account.cli(),
            &own["AWS_ENDPOINT_URL_DYNAMODB"],
            &own["AWS_ENDPOINT_URL_SECRETS_MANAGER"],
        );
        // The operator's settings for a stack of their own do not apply to tenants.
        let environment: BTreeMap<_, _> =
            own.into_iter().chain([("HITL_STACK".to_owned(), "mine".to_owned())]).collect();
        let (mut out, mut progress) = (Vec::new(), Vec::new());
        let mut ask = |_: &str, _: Echo| Err(std::io::Error::other("nobody is asked"));
        let look_up = |name: &str| environment.get(name).cloned();
        let mut io = Io {
            out: &mut out,
            progress: &mut progress,
            ask: &mut ask,
            colour: false,
            environment: &look_up,
            clock: self.world.clock(),
            aws,
            interrupt: pin!(std::future::pending()),
        };
        let line: Vec<OsString> = ["hitl", "fleet"].iter().chain(words).map(OsString::from).collect();
        let status = self.world.drive(cli::run(line, &mut io)).await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { status, out: text(out), progress: text(progress) }
    }

    async fn upgrade(&self, release: &str, more: &[&str]) -> Ran {
        self.run(&[&["--json", "upgrade", "--from", release], more].concat()).await
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn allow(file: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns each stack's state, in the order of the table.
fn states(ran: &Ran) -> Vec<(String, String)> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    ran.json()["tenants"].as_array().unwrap().iter().map(|row| (text(row, "stack"), text(row, "state"))).collect()
}

fn of(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(stack, state)| (stack.as_str(), state.as_str())).collect()
}

/// One stack is missing, one denies access, one is throttled, a region does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_at_one_stack_is_a_row_and_the_others_are_looked_at() {
    let world = World::in_process().await;
    world.sweep().await;
    let fleet = Fleet::new(&world);
    fleet.add(&["acme", "denied", "slow", "zeta"]);
    let bare = Stack { outputs: [("TableName".to_owned(), "none".to_owned())].into(), ..fleet.stack() };
    let outputs = fleet.stack().outputs.into_iter().chain(bare.outputs.clone()).collect();
    fleet.account.add(HERE, "empty", Stack { outputs, ..bare });
    fleet.account.trouble("denied", Some(Trouble::Denied));
    fleet.account.trouble("slow", Some(Trouble::Throttled));
    fleet.account.cut_off("eu-north-9");
    let named = ["acme", "denied", "empty", "gone", "slow", "zeta"].map(|name| json!({ "stack": name }));
    let far = json!({ "stack": "far", "region": "eu-north-9" });
    let file = fleet.tenants(&named.into_iter().chain([far]).collect());
    let ran = fleet.run(&["--tenants", &file, "--json", "doctor"]).await;
    let expected = [
        ("denied", "failed"),
        ("far", "failed"),
        ("gone", "failed"),
        ("slow", "failed"),
        ("empty", "finding"),
        ("acme", "ok"),
        ("zeta", "ok"),
    ];
    assert_eq!((ran.status, of(&states(&ran))), (2, expected.to_vec()), "{}", ran.out);
    assert!(ran.progress.contains("1 of 7 ") && ran.progress.contains("7 of 7 "), "{}", ran.progress);
    let says: String = ran.json()["tenants"].as_array().unwrap().iter().map(|row| row["says"].to_string()).collect();
    for named in ["AccessDenied", "Throttling", "does not exist", "Could not connect", "everything is in order"] {
        assert!(says.contains(named), "{named}: {says}");
    }
    let table = fleet.run(&["--tenants", &file, "doctor"]).await.out;
    assert!(table.starts_with("FAILED   denied") && table.contains("7 stacks: 4 failed, 1 with findings"), "{table}");
    assert!(table.contains("table: none"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stacks_are_found_by_their_tag_in_every_region_that_answers() {
    let world = World::in_process().await;
    world.sweep().await;
    let fleet = Fleet::new(&world);
    fleet.add(&["acme", "zeta"]);
    fleet.account.add(HERE, "other", Stack { tags: BTreeMap::new(), ..fleet.stack() });
    fleet.account.add("eu-west-1", "beta", fleet.stack());
    fleet.account.cut_off("eu-north-9");
    let regions = ["--region", HERE, "--region", "eu-west-1", "--region", "eu-north-9"];
    let ran = fleet.run(&[regions.as_slice(), &["--json", "stats"]].concat()).await;
    let expected = vec![("*", "failed"), ("acme", "ok"), ("beta", "ok"), ("zeta", "ok")];
    assert_eq!((ran.status, of(&states(&ran))), (2, expected), "{}", ran.out);
    let one = fleet.run(&["--json", "--only", "zeta", "doctor"]).await;
    assert_eq!(of(&states(&one)), [("zeta", "ok")], "{}{}", one.out, one.progress);
    let none = fleet.run(&["--tag", "other", "doctor"]).await;
    assert!(none.status == 1 && none.progress.contains("no stack has the tag"), "{}", none.progress);
    let unknown = fleet.run(&["--only", "nobody", "doctor"]).await;
    assert!(unknown.status == 2 && unknown.progress.contains("nobody"), "{}", unknown.progress);
    let pointed = fleet.run(&["--table", "t", "doctor"]).await;
    assert_eq!(pointed.status, 2, "one table is not all tenants': {}", pointed.progress);
}

/// Returns what changed since so many entries of the journal; simultaneous changes have no order.
fn since(fleet: &Fleet<'_>, entries: usize) -> Vec<String> {
    let mut since: Vec<_> = fleet.account.journal().into_iter().skip(entries).collect();
    since.sort();
    since
}

const TEN: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_upgraded_and_watched_first_and_its_alarm_ends_the_upgrade() {
    let world = World::in_process().await;
    let fleet = Fleet::new(&world);
    fleet.add(&TEN);
    let (first, second) = (fleet.release("first"), fleet.release("second"));
    let ran = fleet.upgrade(&first, &["--canary", "20"]).await;
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.progress);
    let journal = fleet.account.journal();
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("packaged")).count(), 1, "{journal:?}");
    assert_eq!(journal.len(), 11, "{journal:?}");
    let watched = ran.progress.find("watching the alarms").unwrap();
    assert!(ran.progress.find("2 of 10").unwrap() < watched && watched < ran.progress.find("3 of 10").unwrap());
    let tags = fleet.account.stack(HERE, "a").unwrap().tags;
    assert_eq!((tags["livechat-hitl"].as_str(), tags["CostCenter"].as_str()), ("tenant", "7"));

    fleet.account.trouble("b", Some(Trouble::RingsAfterUpdate("HealthAlarm")));
    let ran = fleet.upgrade(&second, &["--canary", "20"]).await;
    let stopped = states(&ran);
    assert_eq!((ran.status, stopped[0].clone()), (1, ("b".to_owned(), "failed".to_owned())), "{}", ran.out);
    assert_eq!(stopped.iter().filter(|(_, state)| state == "skipped").count(), 8, "{}", ran.out);
    assert_eq!(since(&fleet, 11), ["packaged us-east-1", "updated a", "updated b"]);

    // The next run continues with the rest; it does not touch what is done, and leaves out stacks with an alarm.
    fleet.account.trouble("b", None);
    fleet.account.ring(HERE, "c", "HealthAlarm", true);
    fleet.account.ring(HERE, "d", "ParkedAlarm", true);
    let ran = fleet.upgrade(&second, &[]).await;
    let rows = states(&ran);
    assert_eq!((ran.status, &of(&rows)[..2]), (1, [("b", "finding"), ("c", "finding")].as_slice()), "{}", ran.out);
    assert_eq!(
        since(&fleet, 15),
        ["d", "e", "f", "g", "h", "i", "j"].map(|name| format!("updated {name}")),
        "{}",
        ran.out
    );
    let again = fleet.upgrade(&second, &["--dry-run"]).await;
    assert_eq!(again.json()["tenants"].to_string().matches("already has the release").count(), 8, "{}", again.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_fails_ends_the_upgrade_and_a_stack_that_cannot_be_seen_does_so_too() {
    let world = World::in_process().await;
    for trouble in [Trouble::UpdateFails, Trouble::Throttled] {
        let fleet = Fleet::new(&world);
        fleet.add(&TEN);
        fleet.account.trouble("a", Some(trouble));
        let ran = fleet.upgrade(&fleet.release("new"), &[]).await;
        assert_ne!(ran.status, 0, "{}", ran.out);
        assert!(fleet.account.journal().iter().all(|entry| !entry.starts_with("updated")), "{trouble:?}: {}", ran.out);
        let dry = fleet.upgrade(&fleet.release("dry"), &["--dry-run"]).await;
        assert_eq!(dry.json()["skipped"], json!(0), "a dry run looks at all: {}", dry.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn costs_are_added_up_and_a_credential_is_rotated_at_each_stack() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "hello").await;
    world.user_ends(&ann).await;
    let fleet = Fleet::new(&world);
    fleet.add(&["acme", "zeta"]);
    let cost = fleet.run(&["--json", "cost"]).await.json();
    let usd = |row: &Value| row["answer"]["usd"].as_f64().unwrap();
    let sum: f64 = cost["tenants"].as_array().unwrap().iter().map(usd).sum();
    assert!(sum > 0.0 && (cost["usd"].as_f64().unwrap() - sum).abs() < 1e-9, "{cost:#}");
    let stats = fleet.run(&["stats"]).await.out;
    assert_eq!(stats.matches("1 sessions").count(), 2, "{stats}");
    let rotated = fleet.run(&["--only", "acme", "rotate", "webhook-secret"]).await;
    assert_eq!(rotated.status, 0, "{}{}", rotated.out, rotated.progress);
    assert!(rotated.progress.contains("acme: waiting until every function has the new secret"), "{}", rotated.progress);
    assert!(
        rotated.out.contains("the webhook secret was replaced; the previous one is accepted until"),
        "{}",
        rotated.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_tenant_is_connected_from_a_file_that_nobody_else_can_read() {
    let world = World::uninstalled(&[]).await;
    let fleet = Fleet::new(&world);
    let own = world.stack.operator_environment();
    let names = [
        "LIVECHAT_AGENT_TOKEN",
        "BOTPRESS_WORKSPACE_ID",
        "BOTPRESS_WORKSPACE_HANDLE",
        "BOTPRESS_PERSONAL_ACCESS_TOKEN",
    ];
    let answers: BTreeMap<_, _> = names.iter().map(|name| (*name, own[*name].clone())).collect();
    let tenant =
        |answers: &Value| json!([{ "stack": "acme", "parameters": fleet.stack().parameters, "answers": answers }]);
    let file = fleet.tenants(&tenant(&json!(answers)));
    let connect = ["--tenants", &file, "--json", "connect"];

    allow(Path::new(&file), 0o644);
    let refused = fleet.run(&connect).await;
    assert!(refused.status == 2 && refused.out.contains("chmod 600"), "{}", refused.out);
    allow(Path::new(&file), 0o600);
    let missing = fleet.run(&connect).await;
    assert!(missing.status == 2 && missing.out.contains("does not exist"), "{}", missing.out);

    world.sweep().await;
    fleet.account.give_new_stacks(fleet.stack().outputs);
    let release = fleet.release("new");
    // The operator's own variables do not apply to tenants.
    let bare = fleet.tenants(&json!([{ "stack": "acme" }]));
    let refused = fleet.run(&["--tenants", &bare, "connect", "--from", &release]).await;
    assert!(refused.status == 2 && refused.out.contains("LiveChatClientId is needed"), "{}", refused.out);
    assert!(fleet.account.journal().is_empty());
    let created = fleet.run(&[connect.as_slice(), &["--from", &release]].concat()).await;
    assert_eq!(fleet.account.journal(), ["packaged us-east-1", "created acme"], "{}{}", created.out, created.progress);
    let tags = fleet.account.stack(HERE, "acme").unwrap().tags;
    assert_eq!(tags, BTreeMap::from([("livechat-hitl".to_owned(), "tenant".to_owned())]));
    let connected = fleet.run(&connect).await;
    let report = connected.json()["tenants"][0]["answer"].clone();
    assert_eq!(report["checks"][0]["id"], "table", "{}{}", connected.out, connected.progress);
    assert!(connected.progress.contains("acme: 4 of 4: setting up the webhooks"), "{}", connected.progress);
    for secret in [&answers["LIVECHAT_AGENT_TOKEN"], &answers["BOTPRESS_PERSONAL_ACCESS_TOKEN"]] {
        assert!(!format!("{}{}", connected.out, connected.progress).contains(secret.as_str()));
    }
    // A file with a mistake is not quoted.
    std::fs::write(&file, json!({ "tenants": [{ "stack": "acme", "answers": "canary" }] }).to_string()).unwrap();
    let malformed = fleet.run(&connect).await;
    assert!(malformed.status == 2 && !malformed.out.contains("canary"), "{}", malformed.out);
    let odd = fleet.tenants(&tenant(&json!({ "LIVECHAT_TOKEN": "canary" })));
    let odd = fleet.run(&["--tenants", &odd, "connect"]).await;
    assert!(odd.status == 2 && odd.progress.contains("LIVECHAT_TOKEN is not a known answer"), "{}", odd.progress);
    assert!(!odd.progress.contains("canary"));
}
