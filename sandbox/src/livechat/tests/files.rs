use reqwest::multipart::{Form, Part};

use super::*;

async fn uploaded(world: &World, identity: &Identity, part: &'static str, name: &str, bytes: Vec<u8>) -> Answer {
    let organization = &world.simulator.account().organization_id;
    let url = format!("{}/v3.6/customer/action/upload_file?organization_id={organization}", world.simulator.url());
    let form = Form::new().part(part, Part::bytes(bytes).file_name(name.to_owned()));
    let request = world.http.post(url).bearer_auth(&identity.token).multipart(form);
    Answer::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn an_uploaded_file_is_served_and_can_be_sent() {
    let world = World::new().await;
    let (identity, chat_id) = world.chat().await;
    let url = uploaded(&world, &identity, "file", "cat photo.png", b"meow".to_vec()).await.ok()["url"].clone();
    let url = url.as_str().unwrap();
    assert!(url.starts_with(&format!("{}/api/file/lc/att/", world.simulator.url())), "{url}");
    let event = json!({"chat_id": chat_id, "event": {"type": "file", "url": url}});
    world.customer(&identity, "send_event", event).await.ok();
    let event = world.simulator.thread(&chat_id).unwrap().events.pop().unwrap();
    assert_eq!(event.content["name"], "cat photo.png");
    assert_eq!((&event.content["content_type"], &event.content["size"]), (&json!("image/png"), &json!(4)));
    let served = world.http.get(url).send().await.unwrap();
    assert_eq!(served.headers()["content-type"], "image/png");
    assert_eq!(served.bytes().await.unwrap(), "meow");
}

#[tokio::test]
async fn a_file_that_no_event_carries_is_gone_after_a_day() {
    let world = World::new().await;
    let (identity, chat_id) = world.chat().await;
    let kept = uploaded(&world, &identity, "file", "a.txt", b"a".to_vec()).await.ok()["url"].clone();
    let lost = uploaded(&world, &identity, "file", "b.txt", b"b".to_vec()).await.ok()["url"].clone();
    let send = |url: &Value| json!({"chat_id": chat_id, "event": {"type": "file", "url": url}});
    world.customer(&identity, "send_event", send(&kept)).await.ok();
    world.clock.advance(Duration::from_secs(24 * 3_600));
    let status = |url: &Value| world.http.get(url.as_str().unwrap().to_owned()).send();
    assert_eq!(status(&kept).await.unwrap().status(), 200);
    assert_eq!(status(&lost).await.unwrap().status(), 404);
    let renewed = world.renewed(&identity).await;
    world.customer(&renewed, "send_event", send(&lost)).await.refused(422, "validation");
}

#[tokio::test]
async fn uploads_are_limited_in_size_and_kind() {
    let world = World::new().await;
    let identity = world.identity().await;
    let ten_megabytes = 10 * 1024 * 1024;
    uploaded(&world, &identity, "file", "big.bin", vec![0; ten_megabytes]).await.ok();
    let answer = uploaded(&world, &identity, "file", "bigger.bin", vec![0; ten_megabytes + 1]).await;
    answer.refused(413, "entity_too_large");
    uploaded(&world, &identity, "file", "setup.EXE", vec![0]).await.refused(422, "validation");
    let answer = uploaded(&world, &identity, "attachment", "a.txt", vec![0]).await;
    assert_eq!(answer.refused(422, "validation"), "`file` is required");
    let unknown = Identity { token: "dal:unknown".to_owned(), ..identity };
    uploaded(&world, &unknown, "file", "a.txt", vec![0]).await.refused(401, "authentication");
}

#[tokio::test]
async fn an_agent_sends_a_file_from_the_app() {
    let world = World::listening().await;
    let (_, chat_id) = world.chat().await;
    let url = world.simulator.agent_uploads("manual.pdf", "application/pdf", b"%PDF".to_vec());
    world.simulator.agent_sends_event(&chat_id, ANNA, &json!({"type": "file", "url": url})).unwrap();
    world.simulator.settled().await;
    let event = &world.receiver.of("incoming_event")[0]["payload"]["event"];
    assert_eq!((&event["name"], &event["content_type"]), (&json!("manual.pdf"), &json!("application/pdf")));
}
