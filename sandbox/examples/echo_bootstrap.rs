//! A function that echoes its input; the tests of `sandbox::runtime` run it as a process.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    println!("echo starts");
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    match environment.get("START").map(String::as_str) {
        Some("exit") => return Err("no TABLE_NAME".into()),
        Some("hang") => std::future::pending().await,
        Some("report") => return report_init_error(&environment).await,
        _ => {}
    }
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| echo(event, &environment))).await
}

async fn echo(event: LambdaEvent<Value>, environment: &BTreeMap<String, String>) -> Result<Value, Error> {
    let (event, context) = event.into_parts();
    match event.get("do").and_then(Value::as_str) {
        Some("fail") => Err("as asked".into()),
        Some("exit") => {
            eprintln!("last words");
            std::process::exit(7)
        }
        Some("hang") => {
            println!("hanging");
            std::future::pending().await
        }
        Some("call") => {
            let vendor = environment.get("VENDOR_URL").ok_or("no VENDOR_URL")?.trim_start_matches("http://");
            let mut connection = TcpStream::connect(vendor)?;
            write!(connection, "GET / HTTP/1.1\r\nhost: {vendor}\r\nconnection: close\r\n\r\n")?;
            connection.read_to_end(&mut Vec::new())?;
            Ok(json!({}))
        }
        _ => Ok(json!({
            "event": event,
            "context": context,
            "environment": environment,
            "process_id": std::process::id(),
        })),
    }
}

/// Reports an init error, as a runtime does when its function cannot start, and does not exit.
async fn report_init_error(environment: &BTreeMap<String, String>) -> Result<(), Error> {
    let api = environment.get("AWS_LAMBDA_RUNTIME_API").ok_or("no runtime API")?;
    let report = json!({ "errorType": "Config", "errorMessage": "no TABLE_NAME" }).to_string();
    let request = format!(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nhost: {api}\r\ncontent-length: {}\r\n\r\n{report}",
        report.len()
    );
    // Kept open: closing the connection would discard its unread requests.
    let mut connection = TcpStream::connect(api)?;
    connection.write_all(request.as_bytes())?;
    std::future::pending().await
}
