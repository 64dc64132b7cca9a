//! The compiled command, as a shell runs it.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tests::World;

use crate::operator::Operator;

/// Runs the binary with an environment of its own; `input` is its standard input.
async fn hitl(arguments: &[&str], input: &str) -> (i32, String, String) {
    let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let input = input.to_owned();
    let run = move || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hitl"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_gives_the_token_on_standard_input_and_reads_json() {
    let world = World::in_real_time().await;
    world.sweep().await;
    let operator = Operator::new(&world).asked("LIVECHAT_AGENT_TOKEN", "");
    let file = operator.file().to_str().unwrap();
    let token = format!("{}\n", world.stack.livechat.account().agent_token);
    let (status, out, progress) = hitl(&["--sandbox", file, "connect", "livechat", "--json"], &token).await;
    assert_eq!(status, 0, "{out}{progress}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["webhook_url"], world.stack.webhook_url());
    assert!(progress.contains("checking the group"), "progress is told on standard error: {progress}");
    assert!(!format!("{out}{progress}").contains(token.trim()));

    let (status, out, _) = hitl(&["--sandbox", file, "doctor"], "").await;
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("is in order"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_settings_and_refusals_have_their_own_status() {
    let (status, out, _) = hitl(&["--help"], "").await;
    assert_eq!(status, 0);
    for taught in ["Exit status", "--sandbox", "LIVECHAT_AGENT_TOKEN", "rotate"] {
        assert!(out.contains(taught), "{taught}: {out}");
    }
    assert_eq!(hitl(&["frobnicate"], "").await.0, 2);
    let (status, _, progress) = hitl(&["doctor"], "").await;
    assert_eq!((status, progress.contains("TABLE_NAME")), (2, true), "{progress}");
    let (status, out, _) = hitl(&["doctor", "--json"], "").await;
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, answer["error"].as_str().unwrap().contains("TABLE_NAME")), (2, true), "{out}");
    let (status, _, progress) = hitl(&["--sandbox", "http://127.0.0.1:9", "doctor"], "").await;
    assert_eq!((status, progress.contains("cargo run -- serve")), (2, true), "{progress}");

    let (status, out, _) = hitl(&["frobnicate", "--json"], "").await;
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, answer["error"].as_str().unwrap().contains("frobnicate")), (2, true), "{out}");
    assert_eq!(hitl(&["--version"], "").await.1, format!("hitl {}\n", *shared::VERSION));
    let (status, _, progress) = hitl(&["--table", "t", "--secret", "s", "parked"], "").await;
    assert_eq!((status, progress.contains("AWS region")), (2, true), "{progress}");
    let (status, _, progress) = hitl(&["--stack", "s", "deploy", "--from", "nowhere"], "").await;
    assert_eq!((status, progress.contains("SHA256SUMS")), (2, true), "{progress}");
    assert!(hitl(&["completions", "bash"], "").await.1.contains("_hitl"));
    let manual = hitl(&["man"], "").await.1;
    for page in ["hitl", "hitl-doctor", "hitl-connect-livechat"] {
        assert!(manual.lines().any(|line| line == format!(".\\\" page {page}")), "{page}");
    }

    let world = World::in_real_time().await;
    let operator = Operator::new(&world);
    let file = operator.file().to_str().unwrap();
    let (status, _, progress) = hitl(&["--sandbox", file, "trace", "nobody"], "").await;
    assert_eq!((status, progress.contains("nobody")), (1, true), "{progress}");
}

/// The profile names a program that prints the credentials, as at many companies, and sets its own region.
#[tokio::test(flavor = "multi_thread")]
async fn region_and_credentials_are_found_in_the_profile_as_the_aws_cli_finds_them() {
    let world = World::in_real_time().await;
    let variables = world.stack.operator_environment();
    let folder = std::env::temp_dir().join(format!("hitl-profile-{:016x}", fastrand::u64(..)));
    std::fs::create_dir(&folder).unwrap();
    let credentials = json!({ "Version": 1, "AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "example" });
    let process = format!("[profile desk]\nregion = us-east-1\ncredential_process = /bin/echo '{credentials}'\n");
    let run = |config: &str| {
        std::fs::write(folder.join("config"), config).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_hitl"))
            .arg("parked")
            .env_clear()
            .envs(&variables)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", folder.join("config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", folder.join("none"))
            .env("AWS_PROFILE", "desk")
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let ran = tokio::task::block_in_place(|| run(&process));
    assert_eq!(ran.0, 0, "{}", ran.1);
    let (status, told) = tokio::task::block_in_place(|| run("[profile desk]\nregion = us-east-1\n"));
    assert_eq!((status, told.contains("credential")), (2, true), "{told}");
    let without_region = process.replace("region = us-east-1\n", "");
    let (status, told) = tokio::task::block_in_place(|| run(&without_region));
    assert_eq!((status, told.contains("no AWS region is known")), (2, true), "{told}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Returns a process's peak memory in megabytes, polled until the process has ended.
fn peak_megabytes(process_id: u32) -> f64 {
    let mut peak = 0.0;
    while let Ok(status) = std::fs::read_to_string(format!("/proc/{process_id}/status")) {
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        // A process that has ended and has not been waited for yet reports no memory.
        let Some(kilobytes) = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()) else {
            break;
        };
        peak = f64::max(peak, kilobytes / 1_024.0);
        // Another process does not use the test's clock, and Linux reports its peak only while it runs.
        std::thread::sleep(Duration::from_millis(2));
    }
    peak
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_any_size_is_read_in_little_memory() {
    erases_in_little_memory(10_000, 4_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes where the embedded table is not optimised"]
async fn a_table_of_100_000_items_is_read_in_little_memory() {
    erases_in_little_memory(100_000, 1_000).await;
}

/// An erasure reads the whole table three times.
async fn erases_in_little_memory(items: usize, bytes: usize) {
    let world = World::in_real_time().await;
    let filler = "x".repeat(bytes);
    let item = |number: usize| {
        let pk = format!("SESSION#{number:06}");
        [("pk", pk), ("sk", "TRAIL#to_bot#x".to_owned()), ("entity", "trail".to_owned()), ("text", filler.clone())]
    };
    world.stack.table.fill((0..items).map(item)).unwrap();
    let user = [("pk", "USER#ann"), ("sk", "USER"), ("entity", "user"), ("user_id", "ann")];
    world.stack.table.fill([user.map(|(name, value)| (name, value.to_owned()))]).unwrap();
    let operator = Operator::new(&world);
    let file = operator.file().to_str().unwrap().to_owned();
    let erase = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hitl"));
        let command = command.args(["--sandbox", &file, "erase", "ann", "--yes", "--json"]).env_clear();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let peak = peak_megabytes(child.id());
        (child.wait_with_output().unwrap(), peak)
    };
    let (output, peak) = tokio::task::spawn_blocking(erase).await.unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["removed"]["user"], &answer["kept"]), (&json!(1), &json!([])), "{answer}");
    println!("{items} items of {bytes} bytes: {peak:.1} MB");
    assert!((1.0..50.0).contains(&peak), "{peak} MB");
}
